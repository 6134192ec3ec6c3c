//! The visitor's hop through WeChat, decided: whom a code is issued to, who
//! is asked first, who is turned away.
//!
//! What always holds: a [`Hop`] that leads back to a callback was made from
//! an [`AuthorizeLink`], so the callback is one that the account configured.

use std::sync::Arc;

use super::complaint::Complaint;
use super::grants::Holder;
use super::link::{AuthorizeLink, Scope};
use super::mood::Mood;
use super::visitors::Visitor;
use super::world::{State, World};

/// What a choice page's links say in place of an openid.
pub(super) const REFUSE: &str = "refuse";
/// The same, for a visitor whom WeChat shows a snapshot page.
pub(super) const SNAPSHOT: &str = "snapshot";

/// What the visitor's browser says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Browser {
    Wechat,
    Wecom,
    Other,
}

/// Where a step of the hop ends.
pub(super) enum Hop {
    /// WeChat's own error page.
    Wrong(Complaint),
    /// Back to the callback without a code.
    NoCode(String),
    /// Back to the callback with one.
    Code {
        callback: String,
        visitor: Arc<Visitor>,
        twice: bool,
    },
    /// May it be? The page inside WeChat.
    Consent(Arc<Visitor>),
    /// Who is visiting? The page elsewhere.
    Choice(Vec<Arc<Visitor>>),
}

impl Hop {
    /// What an authorize link leads to. `remembered` is the openid that this browser chose before.
    pub(super) fn first(
        world: &World,
        state: &mut State,
        link: &AuthorizeLink,
        browser: Browser,
        remembered: Option<&str>,
    ) -> Hop {
        if browser != Browser::Other && link.scope == Scope::Login {
            return Hop::Wrong(Complaint::InsideWechat);
        }
        if browser != Browser::Wecom && link.is_corps {
            return Hop::Wrong(Complaint::OutsideWecom);
        }
        let inside = browser == Browser::Wechat || link.is_corps;
        if state.spell.for_hop(&Mood::Refuse) {
            return Hop::NoCode(link.refused());
        }
        let may_be_snapshot = link.scope == Scope::Userinfo;
        if may_be_snapshot && (link.snapshot || state.spell.for_hop(&Mood::Snapshot)) {
            return let_in(world, state, link, Arc::new(Visitor::snapshot()), true);
        }
        let visitor = remembered
            .and_then(|openid| state.visitors.find(openid))
            .unwrap_or(state.visitors.default())
            .clone();
        match (inside, link.scope) {
            (false, _) => Hop::Choice(state.visitors.all().to_vec()),
            (true, Scope::Base) => let_in(world, state, link, visitor, false),
            (true, _) => Hop::Consent(visitor),
        }
    }

    /// What a choice leads to; `None` if it names nobody. A corp's login has no page
    /// with a choice: its link leads through at once.
    pub(super) fn chosen(
        world: &World,
        state: &mut State,
        link: &AuthorizeLink,
        who: &str,
    ) -> Option<Hop> {
        if link.is_corps {
            return None;
        }
        match who {
            REFUSE => Some(Hop::NoCode(link.refused())),
            SNAPSHOT if link.scope == Scope::Userinfo => {
                let made_up = Arc::new(Visitor::snapshot());
                Some(let_in(world, state, link, made_up, true))
            }
            openid => {
                let visitor = state.visitors.find(openid)?.clone();
                Some(let_in(world, state, link, visitor, false))
            }
        }
    }

    /// One word for the counters.
    pub(super) fn outcome(&self) -> String {
        match self {
            Hop::Wrong(complaint) => complaint.outcome(),
            Hop::NoCode(_) => "refused".to_owned(),
            Hop::Code { .. } => "ok".to_owned(),
            Hop::Consent(_) | Hop::Choice(_) => "asked".to_owned(),
        }
    }

    /// Who is let in or asked.
    pub(super) fn visitor(&self) -> Option<&Visitor> {
        match self {
            Hop::Code { visitor, .. } | Hop::Consent(visitor) => Some(visitor),
            Hop::Wrong(_) | Hop::NoCode(_) | Hop::Choice(_) => None,
        }
    }

    /// What came of it in words, for the events.
    pub(super) fn described(&self) -> String {
        match self {
            Hop::Wrong(complaint) => format!("{}: {}", complaint.outcome(), complaint.english()),
            Hop::NoCode(_) => "refused, no code".to_owned(),
            Hop::Code { twice: false, .. } => "code issued".to_owned(),
            Hop::Code { .. } => "code issued, callback opened twice".to_owned(),
            Hop::Consent(_) => "asked for consent".to_owned(),
            Hop::Choice(_) => "choice of visitors".to_owned(),
        }
    }
}

/// Gives a code, unless this happens too often.
fn let_in(
    world: &World,
    state: &mut State,
    link: &AuthorizeLink,
    visitor: Arc<Visitor>,
    snapshot: bool,
) -> Hop {
    if world.is_too_frequent(state, link.account, &visitor) {
        return Hop::Wrong(Complaint::TooFrequent);
    }
    let holder = Holder {
        account: link.account,
        app_id: link.app_id.clone(),
        openid: world.openid(link.account, &visitor),
        scope: link.scope,
        snapshot,
        visitor: visitor.clone(),
    };
    let code = state.grants.issue(holder, state.now);
    Hop::Code {
        callback: link.allowed(&code),
        visitor,
        twice: state.spell.for_hop(&Mood::DoubleCallback),
    }
}
