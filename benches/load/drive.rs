//! Asking: as fast as it is answered, and at a fixed rate.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::asked::{Asked, MESSAGE, Way};
use crate::wire::{Wire, shown, status_of, whole_of};

/// Longer than any answer takes that is worth waiting for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `count` times in all, and tells how many a second.
pub async fn drive(asked: Arc<Asked>, count: usize, connections: usize) -> f64 {
    let left = Arc::new(AtomicUsize::new(count));
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(ask_on(Arc::clone(&asked), Arc::clone(&left))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    count as f64 / began.elapsed().as_secs_f64()
}

async fn ask_on(asked: Arc<Asked>, left: Arc<AtomicUsize>) {
    let another = || {
        let one = |left: usize| left.checked_sub(1);
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one);
        taken.is_ok()
    };
    if asked.way == Way::New {
        while another() {
            let mut wire = Wire::to(&asked.place).await;
            ask(&mut wire, &asked).await;
            wire.end().await;
        }
        return;
    }
    let mut wire = Wire::to(&asked.place).await;
    if asked.way == Way::Socket {
        ask(&mut wire, &asked).await;
        let message = masked();
        let back = [&[0x82, MESSAGE.len() as u8][..], &MESSAGE].concat();
        while another() {
            wire.tell(&message, back.len()).await;
            assert_eq!(wire.buffer, back);
        }
        return;
    }
    while another() {
        ask(&mut wire, &asked).await;
    }
}

async fn ask(wire: &mut Wire, asked: &Asked) {
    let status = wire.ask(&asked.bytes).await;
    assert_eq!(status, asked.way.status(), "{}", shown(&wire.buffer));
}

/// A message as clients send them: masked (RFC 6455, section 5.3).
fn masked() -> Vec<u8> {
    let mask = [0x5a, 0xa5, 0x3c, 0xc3];
    let mut frame = vec![0x82, 0x80 | MESSAGE.len() as u8];
    frame.extend(mask);
    frame.extend(MESSAGE.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

/// Asks `rate` times a second, and tells how long each answer took, sorted.
///
/// It counts from when a request was due, so that waiting for a slow answer does
/// not hide the next one; but a clock that rang late is not the answer's fault.
/// Threads sleep in microseconds, while an async runtime's timers count
/// milliseconds.
pub fn pace(asked: &Arc<Asked>, rate: f64, seconds: u64, connections: u32) -> Vec<Duration> {
    let began = Instant::now() + Duration::from_millis(50);
    let end = began + Duration::from_secs(seconds);
    let gap = Duration::from_secs_f64(f64::from(connections) / rate);
    let threads: Vec<_> = (0..connections)
        .map(|number| {
            let asked = Arc::clone(asked);
            let first = began + gap * number / connections;
            std::thread::spawn(move || pace_on(&asked, first, gap, end))
        })
        .collect();
    let took = threads
        .into_iter()
        .flat_map(|thread| thread.join().unwrap());
    let mut took: Vec<_> = took.collect();
    took.sort_unstable();
    took
}

fn pace_on(asked: &Asked, first: Instant, gap: Duration, end: Instant) -> Vec<Duration> {
    let mut stream = TcpStream::connect(asked.place.address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 4096];
    let mut took = Vec::new();
    let mut due = first;
    while due < end {
        let early = due.saturating_duration_since(Instant::now());
        let mut from = due;
        if !early.is_zero() {
            std::thread::sleep(early);
            from = Instant::now();
        }
        stream.write_all(&asked.bytes).unwrap();
        let mut filled = 0;
        while whole_of(&buffer[..filled]).is_none_or(|whole| filled < whole) {
            let count = stream.read(&mut buffer[filled..]).unwrap();
            assert!(count > 0, "closed: {}", shown(&buffer[..filled]));
            filled += count;
        }
        took.push(from.elapsed());
        assert_eq!(status_of(&buffer), asked.way.status());
        due += gap;
    }
    took
}
