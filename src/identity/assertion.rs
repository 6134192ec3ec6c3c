//! Upstream proof: `X-WeChat-Assertion`, a JWT that the gateway signs for each
//! request of a logged-in visitor, so that an app that others can reach too
//! need not believe a plain header.
//!
//! Holds always: only a [`Session`] is asserted; what is signed names the one
//! host it is for and is good for [`LIFETIME`] seconds at most; it is signed
//! with the first key, and every key's public half is published. Private halves
//! of other keys are not kept, and no key is shown.
//!
//! ES256 (RFC 7518, section 3.4) in the compact form of RFC 7515, claims of RFC
//! 7519, keys as RFC 7517 and 7638 name them. A signature with a public half,
//! and not a MAC: an app that can verify cannot sign.

use std::borrow::Cow;
use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pingora::http::RequestHeader;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use toml::Spanned;

use crate::origin::PublicOrigin;
use crate::route::Identity;
use crate::secret::{Secret, SecretSource};
use crate::session::{Now, Payer, Session};
use crate::signing::key_bytes;
use crate::wechat::Visitor;

/// How long an assertion is good for, in seconds: for the way to the app and
/// clocks that differ, and for no later request.
pub const LIFETIME: u64 = 300;

/// A coordinate of P-256, and so half of a public key.
const COORDINATE: usize = 32;

/// `[assertion]` in `gateway.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Table {
    /// The signing keys: the first signs, all are published.
    pub keys: Vec<Spanned<SecretSource>>,
}

/// Why a key cannot be used. Never holds any of it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not base64.
    #[error("is not base64; make one with `wxgate keygen --assertion`")]
    NotBase64,
    /// Some other thing in base64.
    #[error(
        "is no PKCS#8 private key of the curve P-256; make one with `wxgate keygen --assertion`"
    )]
    NotP256,
    /// The same key twice.
    #[error("is the same key as an earlier one; list each key once")]
    Repeated,
    /// No key at all.
    #[error("holds no key; leave `keys` out to have one made and kept, or list one")]
    NoKey,
}

/// Why nothing was signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// The claims are no JSON, which those of a session are.
    #[error("the claims cannot be written: {0}")]
    Claims(#[from] serde_json::Error),
    /// The route asks for a unionid, and there is none: nobody is let in there so.
    #[error("the visitor has no unionid")]
    NoUnionId,
    /// No signature without random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// A fresh key in the form that `gateway.toml`'s sources hold: base64 of PKCS#8
/// in DER. Of ring's own copy nothing can be wiped: this is for the first start,
/// and for `keygen`, which ends.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate_key() -> io::Result<Secret> {
    let document = EcdsaKeyPair::generate_pkcs8(&ES256, &SystemRandom::new())
        .map_err(|_| io::Error::other(SignError::NoRandomness))?;
    Ok(Secret::new(STANDARD.encode(document.as_ref())))
}

/// A public key as RFC 7517 writes it.
#[derive(Debug, Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    kid: String,
    #[serde(rename = "use")]
    usage: &'static str,
    alg: &'static str,
}

impl Jwk {
    /// Of an uncompressed point (SEC 1, section 2.3.3); `None` for another form.
    fn of(point: &[u8]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(COORDINATE)?;
        if y.len() != COORDINATE {
            return None;
        }
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Some(Self {
            kty: "EC",
            crv: "P-256",
            kid: thumbprint(&x, &y),
            x,
            y,
            usage: "sig",
            alg: "ES256",
        })
    }
}

/// RFC 7638, section 3: the members that make the key, in their order, without
/// a space.
fn thumbprint(x: &str, y: &str) -> String {
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(members))
}

/// What is asserted.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: Cow<'a, str>,
    iat: Now,
    exp: Now,
    appid: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    userid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unionid: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    snapshot: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_openid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pay_appid: Option<&'a str>,
}

/// The keys of a gateway's assertions.
pub struct Assertions {
    signer: EcdsaKeyPair,
    /// The first part of every token: its header never changes.
    head: String,
    published: Vec<Jwk>,
}

impl fmt::Debug for Assertions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Assertions({} keys)", self.count())
    }
}

fn parse(secret: &Secret) -> Result<(EcdsaKeyPair, Jwk), KeyError> {
    let bytes = key_bytes(secret).ok_or(KeyError::NotBase64)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ES256, &bytes, &SystemRandom::new())
        .map_err(|_| KeyError::NotP256)?;
    let jwk = Jwk::of(pair.public_key().as_ref()).ok_or(KeyError::NotP256)?;
    Ok((pair, jwk))
}

/// Who is asserted, by the id that the route asks for. No openid has a colon, so
/// that a member is nobody with such an openid.
fn subject(session: &Session, identity: Identity) -> Option<Cow<'_, str>> {
    Some(match (identity, session.visitor()) {
        (Identity::UnionId, _) => Cow::Borrowed(session.unionid()?.as_str()),
        (Identity::OpenId, Visitor::OpenId(openid)) => Cow::Borrowed(openid.as_str()),
        (Identity::OpenId, Visitor::Member(userid)) => {
            Cow::Owned(format!("member:{}", userid.as_str()))
        }
    })
}

impl Assertions {
    /// Those of `secrets`, in their order: the first signs.
    ///
    /// # Errors
    /// The number of the secret that cannot be used, counted from 0, and why.
    pub fn new(secrets: &[Secret]) -> Result<Self, (usize, KeyError)> {
        let mut signer = None;
        let mut published: Vec<Jwk> = Vec::with_capacity(secrets.len());
        for (at, secret) in secrets.iter().enumerate() {
            let (pair, jwk) = parse(secret).map_err(|error| (at, error))?;
            if published.iter().any(|other| other.kid == jwk.kid) {
                return Err((at, KeyError::Repeated));
            }
            published.push(jwk);
            signer.get_or_insert(pair);
        }
        let (Some(signer), Some(first)) = (signer, published.first()) else {
            return Err((0, KeyError::NoKey));
        };
        let head = format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#, first.kid);
        Ok(Self {
            signer,
            head: URL_SAFE_NO_PAD.encode(head),
            published,
        })
    }

    /// How many keys there are: one at least.
    pub fn count(&self) -> usize {
        self.published.len()
    }

    /// The public halves: a JWK Set (RFC 7517, section 5).
    pub fn published(&self) -> serde_json::Value {
        serde_json::json!({ "keys": self.published })
    }

    /// The visitor of `session` at `origin`, and who pays beside it, signed at
    /// `now`. The audience is the host without its port, which is what an app knows
    /// of itself.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn sign(
        &self,
        (session, identity): (&Session, Identity),
        payer: Option<&Payer>,
        origin: &PublicOrigin,
        now: Now,
    ) -> Result<String, SignError> {
        let claims = serde_json::to_vec(&Claims {
            iss: origin.as_str(),
            aud: origin.host().as_str(),
            sub: subject(session, identity).ok_or(SignError::NoUnionId)?,
            iat: now,
            exp: now.saturating_add(LIFETIME),
            appid: session.app_id(),
            scope: session.scope_name(),
            userid: session.visitor().userid().map(|id| id.as_str()),
            unionid: session.unionid().map(|id| id.as_str()),
            snapshot: session.is_snapshot(),
            pay_openid: payer.map(|payer| payer.openid().as_str()),
            pay_appid: payer.map(Payer::app_id),
        })?;
        let mut token = format!("{}.{}", self.head, URL_SAFE_NO_PAD.encode(claims));
        let signature = self
            .signer
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| SignError::NoRandomness)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Writes `X-WeChat-Assertion`: call where [`super::vouch`] is called, and
    /// after it.
    ///
    /// # Errors
    /// When nothing could be signed: the request must not go without.
    pub fn write(
        &self,
        request: &mut RequestHeader,
        who: (&Session, Identity),
        payer: Option<&Payer>,
        origin: &PublicOrigin,
        now: Now,
    ) -> pingora::Result<()> {
        let token = self.sign(who, payer, origin, now).map_err(|error| {
            pingora::Error::because(pingora::ErrorType::InternalError, "no assertion", error)
        })?;
        request.insert_header("X-WeChat-Assertion", token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::session;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::{Value, json};

    fn key() -> Secret {
        generate_key().unwrap()
    }

    fn signed(assertions: &Assertions, now: Now) -> String {
        let origin = PublicOrigin::try_from("http://shop.example.com:8080".to_owned()).unwrap();
        let session = session("shop.example.com", 1000);
        let who = (&session, Identity::OpenId);
        assertions.sign(who, None, &origin, now).unwrap()
    }

    fn part(token: &str, at: usize) -> Vec<u8> {
        let part = token.split('.').nth(at).unwrap();
        URL_SAFE_NO_PAD.decode(part).unwrap()
    }

    fn verifies(token: &str, jwk: &Value) -> bool {
        let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let point = [&[4][..], &coordinate("x"), &coordinate("y")].concat();
        let (signed, _) = token.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &part(token, 2))
            .is_ok()
    }

    #[test]
    fn an_assertion_says_who_where_and_for_how_long() {
        let assertions = Assertions::new(&[key()]).unwrap();
        let token = signed(&assertions, 2000);
        let jwk = &assertions.published()["keys"][0];
        let head: Value = serde_json::from_slice(&part(&token, 0)).unwrap();
        assert_eq!(
            head,
            json!({"alg": "ES256", "typ": "JWT", "kid": jwk["kid"]})
        );
        let claims: Value = serde_json::from_slice(&part(&token, 1)).unwrap();
        assert_eq!(
            claims,
            json!({
                "iss": "http://shop.example.com:8080",
                "aud": "shop.example.com",
                "sub": "oVisitor",
                "iat": 2000,
                "exp": 2300,
                "appid": "wxaaaaaaaaaaaaaaaa",
                "scope": "snsapi_userinfo",
            })
        );
        assert!(verifies(&token, jwk));
        let moved = token.replacen('.', ".e", 1);
        assert!(!verifies(&moved, jwk));
    }

    #[test]
    fn the_first_key_signs_and_all_are_published() {
        let (old, new) = (key(), key());
        let before = Assertions::new(std::slice::from_ref(&old)).unwrap();
        let token = signed(&before, 1);
        let after = Assertions::new(&[new, old]).unwrap();
        let keys = after.published();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
        assert!(verifies(&token, &keys["keys"][1]) && !verifies(&token, &keys["keys"][0]));
        let token = signed(&after, 1);
        assert!(verifies(&token, &keys["keys"][0]) && !verifies(&token, &keys["keys"][1]));
    }

    #[test]
    fn a_key_is_called_by_its_thumbprint() {
        // RFC 9449, section 6.1, calls this key so.
        let x = "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs";
        let y = "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA";
        assert_eq!(
            thumbprint(x, y),
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
        );
        for wrong in [&[4; 64][..], &[4; 66], &[2; 65], &[]] {
            assert!(Jwk::of(wrong).is_none());
        }
    }

    #[test]
    fn keys_that_cannot_sign_are_refused_and_none_is_shown() {
        use ring::signature::ECDSA_P384_SHA384_FIXED_SIGNING as ES384;
        let secret = |text: &str| Secret::new(text.to_owned());
        let error = |secrets: &[Secret]| Assertions::new(secrets).unwrap_err();
        let other = EcdsaKeyPair::generate_pkcs8(&ES384, &SystemRandom::new()).unwrap();
        let other = secret(&STANDARD.encode(other.as_ref()));
        assert_eq!(error(&[]), (0, KeyError::NoKey));
        assert_eq!(error(&[secret("-----BEGIN")]), (0, KeyError::NotBase64));
        assert_eq!(error(&[key(), other]), (1, KeyError::NotP256));
        let session_key = crate::signing::generate_key().unwrap();
        assert_eq!(error(&[session_key]), (0, KeyError::NotP256));
        let twice = key();
        assert_eq!(
            error(&[twice.clone(), key(), twice.clone()]),
            (2, KeyError::Repeated)
        );
        let shown = format!("{:?}", Assertions::new(&[twice]).unwrap());
        assert_eq!(shown, "Assertions(1 keys)");
    }
}
