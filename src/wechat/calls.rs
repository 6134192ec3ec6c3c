//! Which calls of WeChat's api a request has led to: for its line in the log and
//! its spans.
//!
//! Holds always: a call is noted by its name, its time and the kind of its end; no
//! URL, no answer, nothing that was sent. Where nobody listens nothing is kept.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::api::ApiError;

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// `access_token`, `refresh_token`, `userinfo`, `auth`, `gettoken` or `getuserinfo`.
    pub name: &'static str,
    /// When it began.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
    /// What came of it, if no answer that could be used: WeChat's number, or one
    /// of `connect`, `no_answer`, `unreadable`.
    pub error: Option<Cow<'static, str>>,
}

type Calls = Arc<Mutex<Vec<Call>>>;

tokio::task_local! {
    static CALLS: Calls;
}

/// Runs `future`, and tells what it called. It is put in a box: whoever waits for
/// WeChat would else hold its room twice, and the rest of the requests once.
pub fn noted<F: Future>(future: F) -> impl Future<Output = (F::Output, Vec<Call>)> {
    let future = Box::pin(future);
    async move {
        let calls = Calls::default();
        let output = CALLS.scope(Arc::clone(&calls), future).await;
        let calls = std::mem::take(&mut *calls.lock());
        (output, calls)
    }
}

/// `future` for a task of its own, whose calls count as those of who begins it.
pub fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let calls = CALLS.try_with(Arc::clone).ok();
    let future = Box::pin(future);
    async move {
        match calls {
            Some(calls) => CALLS.scope(calls, future).await,
            None => future.await,
        }
    }
}

/// Notes a call that has ended.
pub(super) fn note<T>(name: &'static str, began: Instant, result: &Result<T, ApiError>) {
    let call = || Call {
        name,
        began,
        took: began.elapsed(),
        error: result.as_ref().err().map(|error| match error {
            ApiError::NotSent(_) => Cow::Borrowed("connect"),
            ApiError::NoAnswer(_) | ApiError::Late(_) => Cow::Borrowed("no_answer"),
            ApiError::Garbled(_) => Cow::Borrowed("unreadable"),
            ApiError::Errcode { code, .. } => Cow::Owned(code.code.to_string()),
        }),
    };
    // Where nobody listens there is nothing to note.
    let _ = CALLS.try_with(|calls| calls.lock().push(call()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_future_is_held_once_and_elsewhere() {
        let large = || async {
            let room = [1_u8; 8192];
            tokio::task::yield_now().await;
            std::hint::black_box(room);
        };
        assert!(size_of_val(&large()) > 8192);
        assert!(size_of_val(&noted(large())) < 256);
        assert!(size_of_val(&carried(large())) < 256);
    }

    #[tokio::test]
    async fn calls_are_those_of_who_began_them() {
        let ok = Ok::<(), ApiError>(());
        note("auth", Instant::now(), &ok);
        let ((), calls) = noted(async {
            note("userinfo", Instant::now(), &ok);
            let other = carried(async {
                note(
                    "auth",
                    Instant::now(),
                    &Err::<(), _>(ApiError::Garbled("x")),
                )
            });
            tokio::spawn(other).await.unwrap();
            tokio::spawn(async { note("refresh_token", Instant::now(), &Ok(())) })
                .await
                .unwrap();
        })
        .await;
        let names: Vec<_> = calls
            .iter()
            .map(|call| (call.name, call.error.as_deref()))
            .collect();
        assert_eq!(names, [("userinfo", None), ("auth", Some("unreadable"))]);
    }
}
