//! One hostile request: what is sent, what may be answered, and what the app
//! may see of it.
//!
//! Texts are bytes: each character up to U+00FF stands for the byte of its
//! number. `{host}`, `{session}` and their like are filled in by the runner.

use std::ops::RangeInclusive;

use crate::h2;

/// The end of an answer that never came: closed, reset or gone away.
pub const GONE: u16 = 0;

/// A row of the table. A fresh one expects to be refused, to be the last of its
/// connection, and to be kept from the app.
pub struct Row {
    pub name: String,
    pub attack: Attack,
    /// What may be answered.
    pub statuses: &'static [u16],
    /// Whether nothing may follow on the connection but its end.
    pub closes: bool,
    /// How many requests the app may see.
    pub app: RangeInclusive<usize>,
    /// What must be true of every request that the app sees.
    pub needs: Vec<Need>,
    /// What the answer must not say.
    pub unsaid: Vec<&'static str>,
    /// Whether the client stops sending, for it has more to say than it says.
    pub unfinished: bool,
    /// How often WeChat may be asked for it.
    pub exchanges: u64,
}

pub enum Attack {
    H1(String),
    H2(Vec<Step>),
}

/// A part of what is sent over HTTP/2.
pub enum Step {
    /// `HEADERS`, with these flags and fields.
    Fields(u8, u32, Vec<(String, String)>),
    /// Frames, or what only looks like some.
    Bytes(Vec<u8>),
    /// From here on this stream's end is waited for, and not the first one's.
    Await(u32),
    /// No preface: what follows is the first.
    Mute,
}

#[derive(Clone, Debug)]
pub enum Need {
    /// The header stands once with this value.
    Has(&'static str, &'static str),
    Lacks(&'static str),
    Line(&'static str),
    Body(&'static str),
}

/// A request of HTTP/1.
pub fn h1(name: impl Into<String>, text: impl Into<String>) -> Row {
    Row::of(name.into(), Attack::H1(text.into()))
}

/// `GET /x` of a visitor, with `headers` besides, whole lines.
pub fn get(name: impl Into<String>, headers: &str) -> Row {
    h1(name, format!("GET /x HTTP/1.1\r\n{{head}}{headers}\r\n"))
}

/// `POST /x` of a visitor, with `headers` besides, and everything behind them.
pub fn post(name: impl Into<String>, headers: &str, body: &str) -> Row {
    h1(
        name,
        format!("POST /x HTTP/1.1\r\n{{head}}{headers}\r\n{body}"),
    )
}

/// `GET target` of a stranger.
pub fn stranger(name: impl Into<String>, target: &str) -> Row {
    h1(
        name,
        format!("GET {target} HTTP/1.1\r\nHost: {{host}}\r\nAccept: application/json\r\n\r\n"),
    )
}

/// Frames of HTTP/2.
pub fn h2_frames(name: impl Into<String>, steps: Vec<Step>) -> Row {
    Row::of(name.into(), Attack::H2(steps)).open()
}

/// One request of HTTP/2 without a body.
pub fn h2_fields(name: impl Into<String>, fields: Fields) -> Row {
    let flags = h2::END_HEADERS | h2::END_STREAM;
    h2_frames(name, vec![Step::Fields(flags, 1, fields.0)])
}

impl Row {
    fn of(name: String, attack: Attack) -> Self {
        Self {
            name,
            attack,
            statuses: &[400, 501, GONE],
            closes: true,
            app: 0..=0,
            needs: Vec::new(),
            unsaid: Vec::new(),
            unfinished: false,
            exchanges: 0,
        }
    }

    fn open(mut self) -> Self {
        self.closes = false;
        self
    }

    /// Answered by the gateway itself; the connection may go on.
    pub fn answers(mut self, statuses: &'static [u16]) -> Self {
        self.statuses = statuses;
        self.open()
    }

    /// One good request, once what does not belong to it is taken away.
    pub fn forwarded(mut self) -> Self {
        self.app = 1..=1;
        self.answers(&[200])
    }

    /// Refused or forwarded: both are safe, if `needs` hold.
    pub fn either(mut self) -> Self {
        self.app = 0..=1;
        self.answers(&[200, 400, 501, GONE])
    }

    /// Refused when a part of it has gone to the app already.
    pub fn midway(mut self) -> Self {
        self.app = 0..=1;
        self
    }

    pub fn closes(mut self) -> Self {
        self.closes = true;
        self
    }

    pub fn unfinished(mut self) -> Self {
        self.unfinished = true;
        self
    }

    pub fn seen_at_most(mut self, count: usize) -> Self {
        self.app = 0..=count;
        self
    }

    pub fn exchanges(mut self, count: u64) -> Self {
        self.exchanges = count;
        self
    }

    pub fn has(mut self, name: &'static str, value: &'static str) -> Self {
        self.needs.push(Need::Has(name, value));
        self
    }

    pub fn lacks(mut self, name: &'static str) -> Self {
        self.needs.push(Need::Lacks(name));
        self
    }

    pub fn line(mut self, line: &'static str) -> Self {
        self.needs.push(Need::Line(line));
        self
    }

    pub fn body(mut self, body: &'static str) -> Self {
        self.needs.push(Need::Body(body));
        self
    }

    pub fn never_says(mut self, text: &'static str) -> Self {
        self.unsaid.push(text);
        self
    }
}

/// The fields of a request of HTTP/2.
#[derive(Clone)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// `GET /x` of a visitor.
    pub fn visitor() -> Self {
        Self::stranger("/x").add("cookie", "{session}")
    }

    /// `GET target` of a stranger.
    pub fn stranger(target: &str) -> Self {
        Self(Vec::new())
            .add(":method", "GET")
            .add(":scheme", "http")
            .add(":authority", "{host}")
            .add(":path", target)
            .add("accept", "application/json")
    }

    pub fn add(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn first(mut self, name: &str, value: &str) -> Self {
        self.0.insert(0, (name.to_owned(), value.to_owned()));
        self
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        for field in self.0.iter_mut().filter(|field| field.0 == name) {
            value.clone_into(&mut field.1);
        }
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|field| field.0 != name);
        self
    }
}

/// The bytes that `text` stands for.
pub fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or_else(|_| panic!("{c:?} is no byte")))
        .collect()
}
