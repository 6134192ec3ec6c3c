//! Logins that wait for a slow WeChat: what the gateway holds for them, and what
//! visitors with a session notice.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::gateway::{Gateway, HOST, Wanted, visitors};
use crate::measure::{self, Verdict, many, mib, until};
use crate::origin::Origin;
use crate::visitors::{Connection, Steady, Visitors, begin_login, is_logged_in};
use crate::wechat::WeChat;

const LOGINS: usize = 10_000;
/// Calls of WeChat at one time (`limits.wechat_calls`): the rest wait their turn.
const CALLS: usize = 500;
/// Logins that are begun, and come back, in a second: more, and it is measured
/// how one core shares itself.
const A_SECOND: u32 = 1_500;
const STEADY: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);
const PHASE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// Visitors with a session, who ask on while `meanwhile` happens; how long they
/// waited, and a row of it.
struct Watch<'a> {
    gateway: &'a Gateway,
    visitors: &'a Visitors,
}

impl Watch<'_> {
    async fn phase<T>(&self, name: &str, meanwhile: impl Future<Output = T>) -> (T, f64) {
        let requests = (1..=STEADY).map(|number| self.visitors.request(number, HOST, "/"));
        let cpu = self.gateway.cpu();
        let steady = Steady::start(self.gateway.address, requests.collect(), PAUSE);
        let done = meanwhile.await;
        let mut times = steady.end().await;
        let p99 = measure::at(&mut times, 0.99);
        measure::row(&[
            name.to_owned(),
            mib(self.gateway.resident()),
            format!("{:.2}", self.gateway.cpu() - cpu),
            many(times.len()),
            format!("{:.2}", measure::at(&mut times, 0.5)),
            format!("{p99:.2}"),
            format!("{:.1}", measure::at(&mut times, 1.0)),
        ]);
        (done, p99)
    }
}

/// Does `things`, so many a second, and waits for all of them.
async fn each<F: Future<Output = T> + Send + 'static, T: Send + 'static>(
    things: impl Iterator<Item = F>,
) -> Vec<T> {
    let mut all = JoinSet::new();
    let mut due = interval(Duration::from_secs(1) / A_SECOND);
    for thing in things {
        due.tick().await;
        all.spawn(thing);
    }
    all.join_all().await
}

/// As many as there are files for, besides those of the steady visitors: a login
/// takes one for the visitor, and one for WeChat.
fn logins() -> usize {
    let few = wxgate::process::open_files_for(LOGINS.try_into().unwrap());
    few.map_or(LOGINS, |few| {
        few.connections.get().saturating_sub(2 * STEADY + 28)
    })
}

pub async fn measure() -> Vec<Verdict> {
    let count = logins();
    let origin = Origin::start();
    let mut wechat = WeChat::start().await;
    let dir = tempfile::tempdir().unwrap();
    let visitors = visitors(dir.path());
    let wanted = Wanted {
        app: origin.address,
        wechat: Some(wechat.address),
        tables: "",
    };
    let gateway = Gateway::start(dir.path(), &visitors, &wanted).await;
    let watch = Watch {
        gateway: &gateway,
        visitors: &visitors,
    };
    // The first of all, so that what is made once is there.
    let mut first = Connection::to(gateway.address).await;
    let callback = begin_login(&mut first, LOGINS).await;
    let status = first.ask(&callback).await;
    assert!(is_logged_in(status, &first.text()), "{}", first.text());
    let title = format!("{} logins that wait for WeChat", many(count));
    measure::head(
        &title,
        &[
            "phase",
            "memory at its end, MiB",
            "CPU, s",
            "requests with a session",
            "p50, ms",
            "p99, ms",
            "most, ms",
        ],
    );
    let ((), quiet) = watch.phase("quiet", sleep(PHASE)).await;
    wechat.hold().await;
    let address = gateway.address;
    let begin = each((0..count).map(move |number| async move {
        let mut connection = Connection::from(number, address).await;
        let callback = begin_login(&mut connection, number).await;
        connection.rest();
        (connection, callback)
    }));
    let (begun, _) = watch.phase("they are sent to WeChat", begin).await;
    let connected = gateway.resident();
    let come_back = async {
        let sending = begun
            .into_iter()
            .map(|(mut connection, callback)| async move {
                connection.send(&callback).await;
                connection
            });
        let waiting = each(sending).await;
        until(
            "WeChat is asked as often as it may be",
            PATIENCE,
            async || wechat.waiting().await == CALLS,
        )
        .await;
        waiting
    };
    let (waiting, _) = watch.phase("they come back", come_back).await;
    let ((), slow) = watch.phase("they wait", sleep(PHASE)).await;
    let held = gateway.resident();
    assert_eq!(wechat.waiting().await, CALLS);
    let answered = async {
        wechat.go_on().await;
        let all = waiting.into_iter().map(|mut connection| async move {
            let status = connection.answer().await;
            let text = connection.text();
            assert!(is_logged_in(status, &text), "{text}");
            connection
        });
        all.collect::<JoinSet<_>>().join_all().await
    };
    let (done, _) = watch.phase("they are let in", answered).await;
    drop(done);
    // Until their connections have gone.
    sleep(PHASE / 5).await;
    watch.phase("quiet again", sleep(PHASE)).await;
    let kept = wechat.open().await;
    let more = held - connected;
    let mib_more = more / f64::from(1 << 20);
    println!(
        "\nMore while they wait than while as many connections are idle: {} MiB, {:.1} KB a login. \
         Connections to WeChat that are kept afterwards: {kept}.",
        mib(more),
        more / count as f64 / 1e3
    );
    vec![
        Verdict {
            what: "memory for 10,000 logins that wait",
            budget: "≤ 64 MiB".to_owned(),
            found: format!("{mib_more:.1} MiB for {}", many(count)),
            holds: mib_more <= 64.0 * count as f64 / LOGINS as f64,
        },
        Verdict {
            what: "p99 of visitors with a session meanwhile",
            budget: "flat: ≤ 2 ×, or 2 ms".to_owned(),
            found: format!("{quiet:.2} → {slow:.2} ms"),
            holds: slow <= (2.0 * quiet).max(2.0),
        },
    ]
}
