//! What is read of a process, and how figures are told.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes of memory that process `pid` holds, by `/proc` (proc(5)).
pub fn resident(pid: u32) -> f64 {
    memory(pid, "VmRSS:")
}

/// The most that it has held at once.
pub fn most_resident(pid: u32) -> f64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0
}

/// Seconds of the processors that process `pid` has used.
pub fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields = fields.split(' ').skip(11).take(2);
    let ticks: f64 = fields.map(|field| field.parse::<f64>().unwrap()).sum();
    // Linux has counted hundredths of a second here for as long as it has /proc.
    ticks / 100.0
}

/// The same of several.
pub fn cpu_of(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What is below `share` of `times`, in milliseconds.
pub fn at(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let place = (times.len() - 1) as f64 * share;
    times[place as usize].as_secs_f64() * 1e3
}

pub fn mib(bytes: f64) -> String {
    format!("{:.1}", bytes / f64::from(1 << 20))
}

/// 1000000 as 1,000,000.
pub fn many(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints the head of a table.
pub fn head(title: &str, columns: &[&str]) {
    println!("\n**{title}**\n");
    println!("| {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len()));
}

/// Prints one row of it.
pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// A budget, and what was found.
pub struct Verdict {
    pub what: &'static str,
    pub budget: String,
    pub found: String,
    pub holds: bool,
}

/// Waits until `done`, and fails where that takes longer than `patience`.
pub async fn until(what: &str, patience: Duration, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < patience, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
