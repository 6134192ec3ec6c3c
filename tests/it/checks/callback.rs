//! What comes back from WeChat with the browser.

use sha2::{Digest, Sha256};
use url::form_urlencoded;
use wxgate::wechat::callback::Verdict;
use wxgate::wechat::{Answer, State};

/// `data`: the query of a callback.
pub fn callback(data: &[u8]) {
    let query = String::from_utf8_lossy(data);
    let values = |name: &str| -> Vec<String> {
        form_urlencoded::parse(query.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    };
    let (states, codes) = (values("state"), values("code"));
    let Ok(answer) = Answer::parse(&query) else {
        return;
    };
    for several in [&states, &codes] {
        assert!(several.windows(2).all(|pair| pair[0] == pair[1]));
    }
    assert_eq!(answer.state().as_str(), states[0]);
    assert!(states[0].len() == 33 && states[0].bytes().all(|byte| byte.is_ascii_alphanumeric()));

    // The code is lent for the equal state alone.
    for at in 0..states[0].len() {
        let mut other = states[0].clone().into_bytes();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        let other = State::parse(std::str::from_utf8(&other).unwrap()).unwrap();
        assert!(answer.for_login(&other).is_none(), "lent to another state");
    }
    let mut room = "Answer { state: State(…), code: None }";
    match answer.for_login(&State::parse(&states[0]).unwrap()) {
        Some(Verdict::Agreed(code)) => {
            assert_eq!(code.digest(), <[u8; 32]>::from(Sha256::digest(&codes[0])));
            assert!(
                codes[0].bytes().all(|byte| byte.is_ascii_graphic()),
                "a code that changes the request it is put into"
            );
            room = "Answer { state: State(…), code: Some(Code(…)) }";
        }
        Some(Verdict::Refused) => {}
        None => panic!("refused to its own state"),
    }
    assert_eq!(format!("{answer:?}"), room, "the code is shown");
}
