//! What WeChat's api answers.

use http::HeaderValue;
use wxgate::wechat::{ApiError, OpenId, api};

/// The secret and the code that were sent, should they come back.
const HIDDEN: [&str; 2] = ["hunter2hunter2", "C0deC0deC0de"];

/// `data`: the bytes of an answer.
pub fn wechat_answer(data: &[u8]) {
    let openid = OpenId::try_from("oVisitor".to_owned()).unwrap();
    if let Err(error) = api::try_grant(data.to_vec(), &HIDDEN) {
        says_nothing_secret(&error);
    }
    if let Err(error) = api::try_corp_grant(data.to_vec(), &HIDDEN) {
        says_nothing_secret(&error);
    }
    let profile = match api::read_profile(data.to_vec(), &HIDDEN, &openid) {
        Ok(profile) => profile,
        Err(error) => return says_nothing_secret(&error),
    };
    if let Some(nickname) = &profile.nickname {
        assert!((1..=64).contains(&nickname.chars().count()));
        assert_eq!(nickname.trim(), nickname);
        assert!(!nickname.chars().any(turns_the_text), "{nickname:?}");
    }
    if let Some(avatar) = &profile.avatar {
        assert!(avatar.starts_with("https://") || avatar.starts_with("http://"));
        assert!(avatar.len() <= 256 && avatar.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(HeaderValue::from_str(avatar).is_ok());
    }
    assert_eq!(format!("{profile:?}"), "Profile(…)");
}

fn says_nothing_secret(error: &ApiError) {
    let said = error.to_string();
    assert!(!said.contains(char::is_control), "{said:?}");
    assert!(said.chars().count() < 500, "{said}");
    for secret in HIDDEN {
        assert!(!said.contains(secret), "{said}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
}

/// Unicode's control characters and separators of lines, and all that
/// `Bidi_Control` lists.
fn turns_the_text(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
