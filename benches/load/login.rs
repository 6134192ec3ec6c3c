//! Logins from end to end: a browser that follows redirects until it sees the page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use url::Url;

use crate::asked::{SMALL, Way, request};
use crate::wire::{Place, Wire, shown};

/// More redirects than a login needs.
const HOPS: usize = 10;

/// Logs in `count` times, `concurrency` at one time. Tells how many a second, and
/// how long each took, sorted.
pub async fn logins(address: &str, count: usize, concurrency: usize) -> (f64, Vec<Duration>) {
    let start = Url::parse(&format!("http://{address}/")).unwrap();
    let left = Arc::new(AtomicUsize::new(count));
    let began = Instant::now();
    let tasks: Vec<_> = (0..concurrency)
        .map(|_| {
            let (start, left) = (start.clone(), Arc::clone(&left));
            tokio::spawn(async move {
                let one = |left: usize| left.checked_sub(1);
                let mut took = Vec::new();
                while (left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one)).is_ok() {
                    let began = Instant::now();
                    log_in(start.clone()).await;
                    took.push(began.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    took.sort_unstable();
    (count as f64 / began.elapsed().as_secs_f64(), took)
}

/// A server as a browser knows it: the connection to it, and its cookies.
struct Known {
    wire: Wire,
    cookies: BTreeMap<String, String>,
}

async fn log_in(mut url: Url) {
    let mut servers = BTreeMap::new();
    for _ in 0..HOPS {
        let address = url.authority().to_owned();
        if !servers.contains_key(&address) {
            let known = Known {
                wire: Wire::to(&Place::new(&address, None)).await,
                cookies: BTreeMap::new(),
            };
            servers.insert(address.clone(), known);
        }
        let known = servers.get_mut(&address).unwrap();
        let pairs = known.cookies.iter();
        let pairs: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let origin = format!("http://{address}");
        let bytes = request(Way::Keep, &origin, target, &pairs.join("; "));
        let status = known.wire.ask(&bytes).await;
        let answer = String::from_utf8_lossy(&known.wire.buffer).into_owned();
        match status {
            200 if answer.ends_with(SMALL) => return,
            302 => {}
            _ => panic!("{status} from {origin}: {}", shown(answer.as_bytes())),
        }
        for (name, value) in fields(&answer) {
            if name.eq_ignore_ascii_case("set-cookie") {
                let pair = value.split(';').next().unwrap();
                let (name, value) = pair.split_once('=').unwrap();
                known.cookies.insert(name.to_owned(), value.to_owned());
                known.cookies.retain(|_, value| !value.is_empty());
            } else if name.eq_ignore_ascii_case("location") {
                url = url.join(value).unwrap();
            }
        }
    }
    panic!("more redirects than a login needs");
}

/// The fields of an answer's header.
fn fields(answer: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = answer.split("\r\n").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.filter_map(|line| Some((line.split_once(':')?.0, line.split_once(':')?.1.trim())))
}
