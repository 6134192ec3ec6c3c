//! The people who visit through the simulator.
//!
//! What always holds: an openid belongs to one visitor on one account, a
//! unionid to the visitor alone, both in WeChat's shape. The nicknames are as
//! awkward as those in the field, each in its own visitor, so that a client
//! that fails on one still works with the default visitor.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::random;

/// How many visitors are kept, built-in and added.
const MOST: usize = 1000;

/// One person with WeChat.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Their openid on the first account; other accounts see another one.
    pub openid: String,
    /// The same on every account.
    pub unionid: String,
    /// As it stands in WeChat, control characters included.
    pub nickname: String,
    /// `headimgurl` is empty without.
    pub has_avatar: bool,
    /// As what every corp knows them, if they are its member.
    pub userid: Option<String>,
}

impl Visitor {
    /// The visitor WeChat makes up for a snapshot page.
    pub(super) fn snapshot() -> Visitor {
        Visitor {
            openid: random::openid(),
            unionid: random::openid(),
            nickname: "快照页用户".to_owned(),
            has_avatar: false,
            userid: None,
        }
    }

    /// The nickname as a line of text may show it.
    pub(super) fn shown(&self) -> String {
        self.nickname.replace(char::is_control, "\u{fffd}")
    }

    /// The avatar's path here, in WeChat's form: the size comes last.
    pub(super) fn avatar_path(&self) -> Option<String> {
        self.has_avatar
            .then(|| format!("/simulator/avatar/{}/132", self.openid))
    }

    /// A coloured square with the nickname's first character.
    pub(super) fn avatar(&self) -> String {
        let hue = self.openid.bytes().fold(0_u32, |hue, byte| {
            (hue.wrapping_mul(31) + u32::from(byte)) % 360
        });
        let initial = self.shown().chars().next().unwrap_or('?').to_string();
        let initial = super::html::escape(&initial);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"132\" height=\"132\" viewBox=\"0 0 132 132\">\
             <rect width=\"132\" height=\"132\" fill=\"hsl({hue},55%,45%)\"/>\
             <text x=\"66\" y=\"90\" font-family=\"sans-serif\" font-size=\"68\" fill=\"#fff\" \
             text-anchor=\"middle\">{initial}</text></svg>"
        )
    }
}

/// Everybody who may visit, and who does when nobody was chosen.
pub(super) struct Visitors {
    all: Vec<Arc<Visitor>>,
    default: Arc<Visitor>,
}

impl Visitors {
    pub(super) fn built_in() -> Visitors {
        let person = |openid: &str, unionid: &str, nickname: &str, has_avatar| {
            // Some are members of every corp, the rest are outsiders.
            let userid = match nickname {
                "小明" => Some("XiaoMing"),
                "没有头像" => Some("no.avatar@example.com"),
                _ => None,
            };
            Arc::new(Visitor {
                userid: userid.map(str::to_owned),
                openid: openid.to_owned(),
                unionid: unionid.to_owned(),
                nickname: nickname.to_owned(),
                has_avatar,
            })
        };
        let default = person(
            "oXiaoMing7Kq2VbT9wZr4Lp0sDfA",
            "oUnionMing3Hn8Yc5Gx1Mj6Qe_uB",
            "小明",
            true,
        );
        let all = vec![
            default.clone(),
            person(
                "oALi-Rose5Tn1CvX8yQm3Ks6_gHb",
                "oUnionALi9Wd4Fz7Pk2Ra0Lt-eNc",
                "阿丽🌸👩\u{200d}🚀",
                true,
            ),
            person(
                "oO_Brien2Jf6Bz0Uw9Xh4Cy7Ei1M",
                "oUnionOBrien8Sv3Gq5Dk1Nl6T_a",
                "Zoë O'Brien <b>&amp;\u{202e}",
                true,
            ),
            person(
                "oNoAvatar4Pm8Rd1Yt6Kb3Wq9-Zs",
                "oUnionNoAvatar2Fc7Hx5Vj0Lg4u",
                "没有头像",
                false,
            ),
            person(
                "oControl6Gn3Tk9Sb5Mw1Xz-8Qa2",
                "oUnionControl7Ye0Rp4Cd2Jh_9i",
                "换\u{8}行",
                true,
            ),
        ];
        Visitors { all, default }
    }

    pub(super) fn all(&self) -> &[Arc<Visitor>] {
        &self.all
    }

    pub(super) fn default(&self) -> &Arc<Visitor> {
        &self.default
    }

    /// By the openid on the first account.
    pub(super) fn find(&self, openid: &str) -> Option<&Arc<Visitor>> {
        self.all.iter().find(|visitor| visitor.openid == openid)
    }

    /// Makes this visitor the default, a new one if nobody has the openid.
    /// `None` if it has not an openid's alphabet, or there are too many.
    pub(super) fn set_default(&mut self, openid: &str) -> Option<Arc<Visitor>> {
        let visitor = match self.find(openid) {
            Some(known) => known.clone(),
            None => self.add(openid)?,
        };
        self.default = visitor.clone();
        Some(visitor)
    }

    /// Makes this visitor a member of every corp.
    pub(super) fn employ(&mut self, openid: &str, userid: &str) -> Option<Arc<Visitor>> {
        let at = self.all.iter().position(|its| its.openid == openid)?;
        let place = self.all.get_mut(at)?;
        let member = Arc::new(Visitor {
            userid: Some(userid.to_owned()),
            ..Visitor::clone(place)
        });
        *place = member.clone();
        if self.default.openid == openid {
            self.default = member.clone();
        }
        Some(member)
    }

    fn add(&mut self, openid: &str) -> Option<Arc<Visitor>> {
        let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let shaped = (1..=64).contains(&openid.len()) && openid.bytes().all(alphabet);
        if !shaped || self.all.len() >= MOST {
            return None;
        }
        let visitor = Arc::new(Visitor {
            openid: openid.to_owned(),
            unionid: derived("unionid", openid),
            nickname: format!("访客 {}", self.all.len() + 1),
            has_avatar: true,
            userid: None,
        });
        self.all.push(visitor.clone());
        Some(visitor)
    }
}

/// What an account other than the first calls this visitor.
pub(super) fn openid_elsewhere(app_id: &str, visitor: &Visitor) -> String {
    derived(app_id, &visitor.openid)
}

fn derived(space: &str, openid: &str) -> String {
    let digest = Sha256::new()
        .chain_update(space)
        .chain_update([0])
        .chain_update(openid)
        .finalize();
    let mut text = format!("o{}", URL_SAFE_NO_PAD.encode(digest));
    // base64 is ASCII, so 28 is no character's middle.
    text.truncate(28);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_wechats_shape() {
        let visitors = Visitors::built_in();
        for visitor in visitors.all() {
            let other = openid_elsewhere("wx5150a7c0ffee0002", visitor);
            for id in [&visitor.openid, &visitor.unionid, &other] {
                assert_eq!(id.len(), 28, "{id}");
                assert!(id.starts_with('o'), "{id}");
                assert!(
                    id.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)),
                    "{id}"
                );
            }
            assert_ne!(other, visitor.openid);
        }
    }

    #[test]
    fn anyone_with_an_openid_can_visit() {
        let mut visitors = Visitors::built_in();
        assert!(visitors.set_default("oSomebodyElse").is_some());
        assert_eq!(visitors.default().openid, "oSomebodyElse");
        for bad in ["", "o\r\nX: y", "o o", "o/"] {
            assert!(visitors.set_default(bad).is_none(), "{bad:?}");
        }
        assert_eq!(visitors.default().openid, "oSomebodyElse");
    }
}
