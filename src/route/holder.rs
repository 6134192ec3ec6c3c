//! Which gateway holds an account's secret: this one, or another, by way of which
//! visitors log in.
//!
//! Holds always: an account is held here or elsewhere, never both; a client's
//! origins come from `gateway.toml`, each in one client of the account; a key of a
//! client opens nothing of the gateway's own, for it stands in a ring of its own.

use super::{AccountName, LoginAccount};
use crate::origin::PublicOrigin;
use crate::signing::Keyring;
use crate::wechat::{Kind, Visitor};

/// Who holds an account's secret.
#[derive(Debug)]
pub enum Holder {
    /// This gateway, by way of which these log their visitors in.
    Here(Vec<Client>),
    /// Another.
    Elsewhere(Box<Via>),
}

impl Default for Holder {
    fn default() -> Self {
        Self::Here(Vec::new())
    }
}

/// Another gateway, for development or tests, which logs visitors in by way of this
/// one.
#[derive(Debug)]
pub struct Client {
    /// What it is called, here and there.
    pub name: AccountName,
    /// What its visitors' browsers see: nobody is sent anywhere else.
    pub origins: Vec<PublicOrigin>,
    /// What both know.
    pub key: Keyring,
}

impl Client {
    /// Its origin `asked`, if it has that.
    pub fn origin(&self, asked: &PublicOrigin) -> Option<&PublicOrigin> {
        self.origins.iter().find(|origin| *origin == asked)
    }
}

/// What this gateway is to the one that holds the secret.
#[derive(Debug)]
pub struct Via {
    /// What it is called there.
    pub client: AccountName,
    /// What both know.
    pub key: Keyring,
}

impl LoginAccount {
    /// Whether `visitor`, whom WeChat names so, may have a session at all: WeCom names
    /// people who are not of the corp too.
    pub fn admits(&self, visitor: &Visitor) -> bool {
        match (self.wechat.kind(), visitor) {
            (Kind::WeCom(_), Visitor::OpenId(_)) => self.outsiders,
            (Kind::WeCom(_), Visitor::Member(_)) | (Kind::Official | Kind::Website, _) => true,
        }
    }

    /// What this gateway is to the one that holds the secret, if that is another.
    pub fn via(&self) -> Option<&Via> {
        match &self.holder {
            Holder::Here(_) => None,
            Holder::Elsewhere(via) => Some(via),
        }
    }

    /// Those who log visitors in by way of this gateway.
    pub fn clients(&self) -> &[Client] {
        match &self.holder {
            Holder::Here(clients) => clients,
            Holder::Elsewhere(_) => &[],
        }
    }
}
