//! A corp's access token at WeCom (企业微信): asked for once, used by every login
//! of its account.
//!
//! Holds always: it is in memory alone, and leaves this module in requests to
//! WeCom's api and nowhere else; whoever waits for one waits for the same call,
//! and gets what came of it; one that has ended is asked for anew once, however
//! many logins find it so.
//!
//! Source: WeCom's page "获取access_token".

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::api::ApiError;
use crate::secret::Secret;

/// A token, and until when it is used.
pub(super) struct CorpToken {
    pub(super) access: Secret,
    until: Instant,
}

impl CorpToken {
    /// A token that WeCom gave just now for `expires_in` seconds. It is given up a
    /// little before that, and not at once: WeCom says when it is dead.
    pub(super) fn new(access: Secret, expires_in: u64) -> Self {
        let expires_in = expires_in.clamp(60, 7200);
        let early = (expires_in / 10).min(300);
        Self {
            access,
            until: Instant::now() + Duration::from_secs(expires_in - early),
        }
    }
}

/// One call for a token, and what came of it: the token's place in a row of several.
#[derive(Clone)]
pub(super) struct Turn(Arc<OnceCell<Result<Arc<CorpToken>, ApiError>>>);

impl Turn {
    fn new() -> Self {
        Self(Arc::new(OnceCell::new()))
    }
}

/// The token of an account, shared by its clones. There is one place for it, so that
/// nothing of an earlier turn is left.
#[derive(Clone)]
pub(super) struct Corp {
    now: Arc<Mutex<Turn>>,
}

impl Corp {
    pub(super) fn new() -> Self {
        Self {
            now: Arc::new(Mutex::new(Turn::new())),
        }
    }

    /// The token, asked for with `ask` where there is none.
    pub(super) async fn token<F: Future<Output = Result<CorpToken, ApiError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<(Turn, Arc<CorpToken>), ApiError> {
        loop {
            let turn = self.now.lock().clone();
            let asked = || async { ask().await.map(Arc::new) };
            // Whoever asks may go away; then one of those who wait asks.
            match turn.0.get_or_init(asked).await.clone() {
                Ok(token) if token.until > Instant::now() => return Ok((turn, token)),
                // Given to all who waited for it; whoever comes later asks anew.
                Err(error) => {
                    self.over(&turn);
                    return Err(error);
                }
                Ok(_) => self.over(&turn),
            }
        }
    }

    /// The token of `turn` is of no use any more. Of many who say so, the first counts.
    pub(super) fn over(&self, turn: &Turn) {
        let mut now = self.now.lock();
        if Arc::ptr_eq(&now.0, &turn.0) {
            *now = Turn::new();
        }
    }
}

impl fmt::Debug for Corp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Corp(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// What twenty get who ask at once.
    async fn twenty(
        corp: &Corp,
        asked: &Arc<AtomicUsize>,
        good: bool,
    ) -> Vec<Result<(Turn, Arc<CorpToken>), ApiError>> {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (corp, asked) = (corp.clone(), Arc::clone(asked));
            all.spawn(async move {
                let ask = || async {
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    good.then(|| token(7200)).ok_or(ApiError::Garbled("x"))
                };
                corp.token(ask).await
            });
        }
        all.join_all().await
    }

    fn token(seconds: u64) -> CorpToken {
        CorpToken::new(Secret::new("t".to_owned()), seconds)
    }

    #[tokio::test]
    async fn many_wait_for_one_call_and_a_dead_token_is_asked_for_anew_once() {
        let (corp, asked) = (Corp::new(), Arc::default());
        let all = twenty(&corp, &asked, true).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        for found in &all {
            let (turn, _) = found.as_ref().unwrap();
            corp.over(turn);
        }
        twenty(&corp, &asked, true).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_error_is_everyones_who_waited_and_nobodys_later() {
        let (corp, asked) = (Corp::new(), Arc::default());
        let all = twenty(&corp, &asked, false).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(corp.token(|| async { Ok(token(7200)) }).await.is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn after_many_who_failed_side_by_side_a_token_is_asked_for_once() {
        for _ in 0..20 {
            let (corp, asked) = (Corp::new(), AtomicUsize::new(0));
            let mut all = tokio::task::JoinSet::new();
            for _ in 0..200 {
                let corp = corp.clone();
                all.spawn(async move {
                    let ask = || async {
                        tokio::task::yield_now().await;
                        Err(ApiError::Garbled("x"))
                    };
                    assert!(corp.token(ask).await.is_err());
                });
            }
            all.join_all().await;
            for _ in 0..20 {
                // One after the other: each finds the token of the first.
                let ask = || async {
                    asked.fetch_add(1, Ordering::Relaxed);
                    Ok(token(7200))
                };
                assert!(corp.token(ask).await.is_ok());
            }
            assert_eq!(asked.load(Ordering::Relaxed), 1);
        }
    }

    #[tokio::test]
    async fn who_waits_for_one_who_went_away_asks() {
        let corp = Corp::new();
        let gone = corp.token(std::future::pending::<Result<CorpToken, ApiError>>);
        assert!(
            tokio::time::timeout(Duration::from_millis(10), gone)
                .await
                .is_err()
        );
        assert!(corp.token(|| async { Ok(token(7200)) }).await.is_ok());
    }

    #[tokio::test]
    async fn a_token_is_given_up_before_it_ends() {
        let token = token(100);
        let left = token.until - Instant::now();
        assert!(left <= Duration::from_secs(90) && left > Duration::from_secs(80));
    }
}
