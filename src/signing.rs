//! Signed values for cookies, and sealed ones for the store: HMAC-SHA256 and an
//! AEAD under one of several keys.
//!
//! Holds always: what [`Keyring::open`] gives back was made by
//! [`Keyring::seal`] for the same [`Purpose`], and what [`Keyring::reveal`]
//! gives back by [`Keyring::conceal`] for the same purpose, name and context,
//! under a key that is still in the ring. The tag is compared in constant time and before a single byte of
//! the payload is looked at; an encoding with stray bits, padding or an
//! unknown version is refused, so that one value has one spelling.
//!
//! A token is base64url(version ‖ key id ‖ payload ‖ tag), and the tag covers
//! a fixed label, the purpose, the version, the key id and the payload. All
//! that stands before the payload has a fixed length, so no two inputs give
//! the same bytes.
//!
//! A sealed record is key id ‖ nonce ‖ AES-256-GCM(payload), under a key of its
//! own: HMAC(label ‖ purpose ‖ name). Its name is a session's id or a login's, so
//! that records of two cannot be exchanged, and few nonces, which are random, are
//! ever used with one key.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::{fmt, fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::secret::Secret;

const VERSION: u8 = 3;
const ID_LEN: usize = 4;
const TAG_LEN: usize = 32;
const HEAD_LEN: usize = 1 + ID_LEN;
/// The least number of bytes a key must decode to: a block of SHA-256, so that
/// the key is used as it is and not hashed first (RFC 2104, section 3).
pub const MIN_KEY_BYTES: usize = 64;
/// The longest token that is looked at: a cookie of 4096 bytes holds no more.
pub const MAX_TOKEN: usize = 4096;

/// What a signed value is for. A value made for one purpose is refused for
/// every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A visitor's session.
    Session,
    /// A login on its way to WeChat and back.
    Login,
    /// A snapshot page's visitor, who is nobody.
    Snapshot,
    /// A visitor's openid with the account under which they pay, beside a session.
    Pay,
    /// A session's tokens, in the store.
    Tokens,
    /// What an exchange led to, in the store.
    Flight,
    /// An operator's word to the admin paths.
    Admin,
    /// A visitor's name in the log.
    Visitor,
    /// What one host asks of the callback's host.
    Ask,
    /// A session on its way from one host to another.
    Ticket,
    /// What another gateway asks of the one that holds the secret.
    ClientAsk,
    /// A visitor on the way to another gateway.
    ClientTicket,
    /// What becomes of another gateway's ask, for whoever tries.
    ClientAnswer,
    /// What a code of the facade's stands for, in the store.
    FacadeCode,
    /// What tokens of the facade's stand for, in the store.
    FacadeGrant,
    /// A token of the facade's.
    FacadeToken,
}

impl Purpose {
    fn byte(self) -> u8 {
        match self {
            Self::Session => b's',
            Self::Login => b'l',
            Self::Snapshot => b'n',
            Self::Pay => b'p',
            Self::Tokens => b't',
            Self::Flight => b'f',
            Self::Admin => b'a',
            Self::Visitor => b'v',
            Self::Ask => b'q',
            Self::Ticket => b'k',
            Self::ClientAsk => b'1',
            Self::ClientTicket => b'2',
            Self::ClientAnswer => b'3',
            Self::FacadeCode => b'C',
            Self::FacadeGrant => b'G',
            Self::FacadeToken => b'T',
        }
    }
}

/// One signing key, ready for use. The key itself is not kept, only the state
/// of the MAC after it was fed in.
#[derive(Clone)]
struct Key {
    id: [u8; ID_LEN],
    mac: Hmac<Sha256>,
}

/// The keys of a gateway: the first signs, all verify.
#[derive(Clone)]
pub struct Keyring {
    signer: Key,
    older: Vec<Key>,
    /// Names visitors, under a key that is made of the first.
    names: Hmac<Sha256>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.count())
    }
}

/// Why a key cannot be used. Never holds any of it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not base64.
    #[error("is not base64; make one with `wxgate keygen`")]
    NotBase64,
    /// Too few bytes.
    #[error(
        "decodes to {0} bytes; at least {MIN_KEY_BYTES} are needed: make one with `wxgate keygen`"
    )]
    TooShort(usize),
    /// The same key twice, or (once in four thousand million) two keys with one id.
    #[error("is the same key as an earlier one; list each key once")]
    Repeated,
    /// No key at all.
    #[error("holds no key; leave `keys` out to have one made and kept, or list one")]
    NoKey,
}

/// A record that could not be sealed: the system gave no random bytes.
#[derive(Clone, Copy, Debug, Error)]
#[error("the system gives no random bytes")]
pub struct SealError;

/// A signed value that verified.
#[derive(Debug)]
pub struct Opened<'b> {
    /// The payload that was sealed.
    pub payload: &'b [u8],
    /// Signed by a key that no longer signs: to be sealed anew.
    pub by_older_key: bool,
}

/// What a token looks like: nothing that lets anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Not in the form of one, or of another version of wxgate.
    NoToken,
    /// It names a key that is not in the ring.
    UnknownKey,
    /// It names a key of the ring.
    KnownKey,
}

/// A fresh key in the form that `gateway.toml`'s sources hold: base64 of 64
/// bytes from the system's random source.
///
/// # Errors
/// When the system gives no random bytes.
pub fn generate_key() -> Result<Secret, getrandom::Error> {
    let mut bytes = Zeroizing::new([0_u8; MIN_KEY_BYTES]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(Secret::new(STANDARD.encode(bytes.as_slice())))
}

/// What `secret`, a key in base64, stands for; `None` when it is not base64.
pub(crate) fn key_bytes(secret: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    let text = secret.expose();
    let bytes = STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE_NO_PAD.decode(text));
    bytes.ok().map(Zeroizing::new)
}

/// The key that is kept in `dir` as `name`: read, or once made by `make` with
/// mode 0600. Two processes that begin together end with one key.
///
/// # Errors
/// When the directory cannot be read or written.
pub fn kept_key(
    dir: &Path,
    name: &str,
    make: impl Fn() -> io::Result<Secret>,
) -> io::Result<Secret> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => return Ok(Secret::new(text.trim_end().to_owned())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    fs::create_dir_all(dir)?;
    let secret = make()?;
    let draft = dir.join(format!(
        "{name}.{:016x}",
        getrandom::u64().map_err(io::Error::other)?
    ));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(secret.expose().as_bytes())?;
    file.sync_all()?;
    // A link, unlike a rename, takes nobody else's key away.
    let linked = fs::hard_link(&draft, &path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => fs::File::open(dir)?.sync_all().map(|()| secret),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => kept_key(dir, name, make),
        Err(error) => Err(error),
    }
}

impl Key {
    fn parse(secret: &Secret) -> Result<Self, KeyError> {
        let bytes = key_bytes(secret).ok_or(KeyError::NotBase64)?;
        if bytes.len() < MIN_KEY_BYTES {
            return Err(KeyError::TooShort(bytes.len()));
        }
        let mut hash = Sha256::new();
        hash.update(b"wxgate key id\0");
        hash.update(bytes.as_slice());
        let mut id = [0; ID_LEN];
        id.iter_mut()
            .zip(hash.finalize())
            .for_each(|(to, from)| *to = from);
        let mac = Hmac::new_from_slice(&bytes).map_err(|_| KeyError::TooShort(bytes.len()))?;
        Ok(Self { id, mac })
    }

    /// The key of the record called `name`. `open` and `seal` feed a version
    /// behind the purpose, which is never zero, so that this is no tag.
    fn record_key(&self, purpose: Purpose, name: &[u8]) -> Option<LessSafeKey> {
        let mut mac = self.mac(purpose, b"\0");
        mac.update(name);
        let derived = Zeroizing::new(<[u8; TAG_LEN]>::from(mac.finalize().into_bytes()));
        let key = UnboundKey::new(&AES_256_GCM, derived.as_slice()).ok()?;
        Some(LessSafeKey::new(key))
    }

    fn mac(&self, purpose: Purpose, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(b"wxgate\0");
        mac.update(&[purpose.byte()]);
        mac.update(signed);
        mac
    }
}

fn word_of(key: &Key) -> String {
    URL_SAFE_NO_PAD.encode(key.mac(Purpose::Admin, b"\0").finalize().into_bytes())
}

/// What `payload` says, if it says nothing else: what stands behind it would be
/// another version's, or nobody's.
pub fn whole<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(payload).ok()?;
    rest.is_empty().then_some(value)
}

impl Keyring {
    /// The ring of `secrets`, in their order: the first signs.
    ///
    /// # Errors
    /// The number of the secret that cannot be used, counted from 0, and why.
    pub fn new(secrets: &[Secret]) -> Result<Self, (usize, KeyError)> {
        let mut keys: Vec<Key> = Vec::with_capacity(secrets.len());
        for (at, secret) in secrets.iter().enumerate() {
            let key = Key::parse(secret).map_err(|error| (at, error))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err((at, KeyError::Repeated));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let signer = keys.next().ok_or((0, KeyError::NoKey))?;
        let derived = Zeroizing::new(<[u8; TAG_LEN]>::from(
            (signer.mac(Purpose::Visitor, b"\0").finalize()).into_bytes(),
        ));
        let names = Hmac::new_from_slice(derived.as_slice())
            .map_err(|_| (0, KeyError::TooShort(TAG_LEN)))?;
        Ok(Self {
            signer,
            older: keys.collect(),
            names,
        })
    }

    /// How many keys there are: one at least.
    pub fn count(&self) -> usize {
        1 + self.older.len()
    }

    /// Whether a key of `other` is one of these. Takes as long whichever it is.
    pub fn shares_a_key_with(&self, other: &Self) -> bool {
        let tag = |key: &Key| key.mac(Purpose::ClientAsk, b"\0same\0");
        let same = |own: &Key| {
            let own = tag(own).finalize().into_bytes();
            let theirs = other.keys().map(|key| tag(key).verify_slice(&own).is_ok());
            theirs.fold(false, |found, same| found | same)
        };
        self.keys()
            .map(same)
            .fold(false, |found, same| found | same)
    }

    /// Signs `payload` for `purpose`: a token in base64url without padding.
    pub fn seal(&self, purpose: Purpose, payload: &[u8]) -> String {
        let mut token = Vec::with_capacity(HEAD_LEN + payload.len() + TAG_LEN);
        token.push(VERSION);
        token.extend_from_slice(&self.signer.id);
        token.extend_from_slice(payload);
        let tag = self.signer.mac(purpose, &token).finalize().into_bytes();
        token.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(&token)
    }

    /// Seals `payload` under a key that is made of the first key, `purpose` and
    /// `name`. `context` must be the same when it is opened.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn conceal(
        &self,
        purpose: Purpose,
        name: &[u8],
        context: &[u8],
        payload: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError)?;
        let key = self.signer.record_key(purpose, name).ok_or(SealError)?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(payload.len() + TAG_LEN));
        sealed.extend_from_slice(payload);
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut *sealed,
        )
        .map_err(|_| SealError)?;
        let head = self.signer.id.iter().chain(&nonce);
        Ok(head.chain(sealed.iter()).copied().collect())
    }

    /// Opens what [`Self::conceal`] sealed; `None` for everything else.
    pub fn reveal(
        &self,
        purpose: Purpose,
        name: &[u8],
        context: &[u8],
        record: &[u8],
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (id, rest) = record.split_at_checked(ID_LEN)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let key = self.keys().find(|key| key.id == id)?;
        let key = key.record_key(purpose, name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut payload = Zeroizing::new(sealed.to_vec());
        let len = key
            .open_in_place(nonce, Aad::from(context), &mut payload)
            .ok()?
            .len();
        payload.truncate(len);
        Some(payload)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.signer).chain(&self.older)
    }

    /// The word by which an operator who has the first key is known to the
    /// admin paths of a gateway that has it too.
    pub fn admin_word(&self) -> Secret {
        Secret::new(word_of(&self.signer))
    }

    /// Whether `word` is the one of any of the keys.
    pub fn is_admin_word(&self, word: &str) -> bool {
        self.keys().any(|key| {
            let (Ok(given), mac) = (URL_SAFE_NO_PAD.decode(word), key.mac(Purpose::Admin, b"\0"))
            else {
                return false;
            };
            // Compares in constant time.
            mac.verify_slice(&given).is_ok()
        })
    }

    /// The name of a visitor in the log: the first eight bytes of an HMAC of their
    /// openid. The same on every machine that has the first key; without it nobody
    /// can tell whose it is, not by trying every openid either.
    pub fn name_of(&self, openid: &str) -> u64 {
        let mut mac = self.names.clone();
        mac.update(openid.as_bytes());
        let tag = <[u8; TAG_LEN]>::from(mac.finalize().into_bytes());
        let first = tag.first_chunk::<8>().copied();
        first.map_or(0, u64::from_be_bytes)
    }

    /// What can be said of a token that does not open, for the operator.
    pub fn look_at(&self, token: &[u8]) -> Look {
        let decoded = URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        match decoded.split_first() {
            Some((&VERSION, rest)) if rest.len() >= ID_LEN + TAG_LEN => {
                match self.keys().any(|key| rest.starts_with(&key.id)) {
                    true => Look::KnownKey,
                    false => Look::UnknownKey,
                }
            }
            _ => Look::NoToken,
        }
    }

    /// Verifies `token` for `purpose`; `room` holds the decoded bytes and lends
    /// the payload, and a token that does not fit is none. `None` is the one
    /// answer to everything that is not ours.
    pub fn open<'b>(
        &self,
        purpose: Purpose,
        token: &[u8],
        room: &'b mut [u8],
    ) -> Option<Opened<'b>> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let len = URL_SAFE_NO_PAD.decode_slice(token, room).ok()?;
        let decoded = room.get(..len)?;
        let (signed, tag) = decoded.split_at_checked(len.checked_sub(TAG_LEN)?)?;
        let (head, payload) = signed.split_at_checked(HEAD_LEN)?;
        let (version, id) = head.split_first()?;
        if *version != VERSION {
            return None;
        }
        let by_older_key = self.signer.id != id;
        let key = self.keys().find(|key| key.id == id)?;
        // `verify_slice` compares in constant time.
        key.mac(purpose, signed).verify_slice(tag).ok()?;
        Some(Opened {
            payload,
            by_older_key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Secret {
        generate_key().unwrap()
    }

    fn opens(ring: &Keyring, purpose: Purpose, token: &str) -> Option<Vec<u8>> {
        let mut room = [0; MAX_TOKEN];
        ring.open(purpose, token.as_bytes(), &mut room)
            .map(|opened| opened.payload.to_vec())
    }

    #[test]
    fn what_was_sealed_opens_for_its_purpose_alone() {
        let ring = Keyring::new(&[key()]).unwrap();
        let token = ring.seal(Purpose::Login, b"payload");
        assert_eq!(opens(&ring, Purpose::Login, &token).unwrap(), b"payload");
        assert!(opens(&ring, Purpose::Session, &token).is_none());
    }

    /// All of them: whoever adds one and does not add it here is told by the compiler.
    const PURPOSES: [Purpose; 16] = {
        use Purpose as P;
        match P::Session {
            P::Session | P::Login | P::Snapshot | P::Pay | P::Tokens | P::Flight => (),
            P::Admin | P::Visitor | P::Ask | P::Ticket | P::ClientAsk | P::ClientTicket => (),
            P::ClientAnswer | P::FacadeCode | P::FacadeGrant | P::FacadeToken => (),
        }
        [
            P::Session,
            P::Login,
            P::Snapshot,
            P::Pay,
            P::Tokens,
            P::Flight,
            P::Admin,
            P::Visitor,
            P::Ask,
            P::Ticket,
            P::ClientAsk,
            P::ClientTicket,
            P::ClientAnswer,
            P::FacadeCode,
            P::FacadeGrant,
            P::FacadeToken,
        ]
    };

    #[test]
    fn no_two_purposes_are_one() {
        let ring = Keyring::new(&[key()]).unwrap();
        for (at, made) in PURPOSES.into_iter().enumerate() {
            let token = ring.seal(made, b"payload");
            for (other, read) in PURPOSES.into_iter().enumerate() {
                let opened = opens(&ring, read, &token).is_some();
                assert_eq!(opened, at == other, "{made:?} as {read:?}");
            }
        }
    }

    #[test]
    fn every_changed_character_is_refused() {
        let ring = Keyring::new(&[key()]).unwrap();
        let token = ring.seal(Purpose::Session, b"any payload at all");
        for at in 0..token.len() {
            for other in *b"Aa0-_=. " {
                let mut forged = token.clone().into_bytes();
                if forged[at] == other {
                    continue;
                }
                forged[at] = other;
                let forged = String::from_utf8(forged).unwrap();
                assert!(opens(&ring, Purpose::Session, &forged).is_none(), "{at}");
            }
        }
        for wrong in [
            "",
            "A",
            &format!("{token}="),
            &format!("{token}A"),
            &"A".repeat(9000),
        ] {
            assert!(opens(&ring, Purpose::Session, wrong).is_none());
        }
    }

    #[test]
    fn a_visitors_name_is_the_first_keys() {
        let (one, other) = (key(), key());
        let name = |keys: &[&Secret], openid| {
            let keys: Vec<_> = keys.iter().map(|key| (*key).clone()).collect();
            Keyring::new(&keys).unwrap().name_of(openid)
        };
        assert_eq!(name(&[&one], "oA"), name(&[&one, &other], "oA"));
        assert_ne!(name(&[&one], "oA"), name(&[&other, &one], "oA"));
        assert_ne!(name(&[&one], "oA"), name(&[&one], "oB"));
    }

    #[test]
    fn a_second_key_verifies_and_asks_to_be_replaced() {
        let (old, new) = (key(), key());
        let before = Keyring::new(std::slice::from_ref(&old)).unwrap();
        let token = before.seal(Purpose::Session, b"visitor");
        let after = Keyring::new(&[new.clone(), old]).unwrap();
        let mut room = [0; MAX_TOKEN];
        let opened = after
            .open(Purpose::Session, token.as_bytes(), &mut room)
            .unwrap();
        assert!(opened.by_older_key);
        let gone = Keyring::new(&[new]).unwrap();
        assert!(opens(&gone, Purpose::Session, &token).is_none());
    }

    #[test]
    fn a_record_opens_under_its_own_name_and_context_alone() {
        let (old, new) = (key(), key());
        let ring = Keyring::new(std::slice::from_ref(&old)).unwrap();
        let record = ring
            .conceal(Purpose::Tokens, b"session", b"visitor", b"token")
            .unwrap();
        let open = |ring: &Keyring, purpose, name: &[u8], context: &[u8], record: &[u8]| {
            ring.reveal(purpose, name, context, record)
                .map(|payload| payload.to_vec())
        };
        let opened = open(&ring, Purpose::Tokens, b"session", b"visitor", &record);
        assert_eq!(opened.unwrap(), b"token");
        assert!(!record.windows(5).any(|part| part == b"token"));
        assert!(open(&ring, Purpose::Flight, b"session", b"visitor", &record).is_none());
        assert!(open(&ring, Purpose::Tokens, b"sessiom", b"visitor", &record).is_none());
        assert!(open(&ring, Purpose::Tokens, b"session", b"visitos", &record).is_none());
        for at in 0..record.len() {
            let mut forged = record.clone();
            forged[at] ^= 1;
            assert!(open(&ring, Purpose::Tokens, b"session", b"visitor", &forged).is_none());
            let cut = &record[..at];
            assert!(open(&ring, Purpose::Tokens, b"session", b"visitor", cut).is_none());
        }
        let both = Keyring::new(&[new.clone(), old]).unwrap();
        assert!(open(&both, Purpose::Tokens, b"session", b"visitor", &record).is_some());
        let gone = Keyring::new(&[new]).unwrap();
        assert!(open(&gone, Purpose::Tokens, b"session", b"visitor", &record).is_none());
        let again = ring
            .conceal(Purpose::Tokens, b"session", b"visitor", b"token")
            .unwrap();
        assert_ne!(again, record);
    }

    #[test]
    fn an_operators_word_is_known_by_those_who_share_a_key() {
        let (old, new) = (key(), key());
        let before = Keyring::new(std::slice::from_ref(&old)).unwrap();
        let word = before.admin_word();
        assert!(before.is_admin_word(word.expose()));
        let after = Keyring::new(&[new.clone(), old]).unwrap();
        assert!(after.is_admin_word(word.expose()));
        let gone = Keyring::new(&[new]).unwrap();
        for wrong in [word.expose(), "", "AAAA"] {
            assert!(!gone.is_admin_word(wrong));
        }
        let session = before.seal(Purpose::Session, b"");
        assert!(!before.is_admin_word(&session));
    }

    #[test]
    fn a_key_in_two_rings_is_found_wherever_it_stands() {
        let [one, two, three] = [key(), key(), key()];
        let ring = |keys: &[&Secret]| {
            let keys: Vec<Secret> = keys.iter().map(|key| (*key).clone()).collect();
            Keyring::new(&keys).unwrap()
        };
        assert!(ring(&[&one]).shares_a_key_with(&ring(&[&one])));
        assert!(ring(&[&two, &one]).shares_a_key_with(&ring(&[&one])));
        assert!(ring(&[&one]).shares_a_key_with(&ring(&[&two, &three, &one])));
        assert!(!ring(&[&one, &two]).shares_a_key_with(&ring(&[&three])));
    }

    #[test]
    fn a_kept_key_is_made_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("state");
        let kept = || kept_key(&below, "session.key", || Ok(key())).unwrap();
        let first = kept();
        assert_eq!(kept().expose(), first.expose());
        assert!(Keyring::new(&[first]).is_ok());
        let mode = fs::metadata(below.join("session.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
    }

    #[test]
    fn keys_that_protect_nothing_are_refused() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let error = |secrets: &[Secret]| Keyring::new(secrets).unwrap_err();
        assert_eq!(error(&[]), (0, KeyError::NoKey));
        assert_eq!(error(&[secret("not base64!")]), (0, KeyError::NotBase64));
        assert_eq!(error(&[secret("c2hvcnQ=")]), (0, KeyError::TooShort(5)));
        let twice = key();
        assert_eq!(error(&[twice.clone(), twice]), (1, KeyError::Repeated));
    }
}
