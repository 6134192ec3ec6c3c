//! The pseudo-fields of HTTP/2: method, scheme, authority, path. They become a
//! request line and a `Host`, so that nothing in them may end a line
//! (RFC 9113, section 8.3).

use super::fields::with;
use super::row::{Attack, Fields, GONE, Row, Step, h2_fields};

pub fn rows() -> Vec<Row> {
    let mut rows = pseudo();
    rows.extend(hosts());
    rows.extend(paths());
    rows
}

fn set(name: &str, field: &str, value: &str) -> Row {
    h2_fields(format!("h2-{name}"), Fields::visitor().set(field, value))
}

fn without(name: &str, field: &str) -> Row {
    h2_fields(format!("h2-{name}"), Fields::visitor().without(field))
}

fn first(name: &str, field: &str, value: &str) -> Row {
    h2_fields(format!("h2-{name}"), Fields::visitor().first(field, value))
}

fn pseudo() -> Vec<Row> {
    vec![
        set("path-empty", ":path", ""),
        set("path-absolute", ":path", "http://{host}/x"),
        set("path-absolute-other-host", ":path", "http://evil.example/x"),
        set("path-no-slash", ":path", "x"),
        set("path-asterisk", ":path", "*"),
        set("path-space", ":path", "/x y"),
        set("path-tab", ":path", "/x\ty"),
        set("path-nul", ":path", "/x\0y"),
        set("path-control", ":path", "/x\u{1}y"),
        // The engine's parser cuts fragments off; what is judged is what is sent.
        set("path-fragment", ":path", "/x#y")
            .either()
            .line("GET /x HTTP/1.1"),
        set("path-fragment-climbs", ":path", "/pay/notify#/../../admin")
            .either()
            .line("GET /pay/notify HTTP/1.1"),
        set(
            "path-splits-by-crlf",
            ":path",
            "/x HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled",
        ),
        set("path-splits-by-lf", ":path", "/x\nX-WeChat-OpenId: spoofed"),
        set("path-splits-by-space", ":path", "/x HTTP/1.1 smuggled"),
        without("path-missing", ":path"),
        first("path-twice", ":path", "/pay/notify"),
        set("method-asterisk-options", ":method", "OPTIONS").also(":path", "*"),
        set("method-empty", ":method", ""),
        set("method-with-space", ":method", "GET /smuggled HTTP/1.1"),
        set(
            "method-splits",
            ":method",
            "GET / HTTP/1.1\r\nX-WeChat-OpenId: spoofed\r\nX:",
        ),
        set("method-lf", ":method", "GET\n"),
        set("method-trace", ":method", "TRACE").answers(&[405, GONE]),
        set("method-track", ":method", "TRACK").answers(&[405, GONE]),
        set("method-connect", ":method", "CONNECT").answers(&[400, 405, GONE]),
        set("method-connect-with-protocol", ":method", "CONNECT")
            .also("+:protocol", "websocket")
            .answers(&[400, 405, GONE]),
        h2_fields(
            "h2-method-connect-bare",
            Fields(Vec::new())
                .add(":method", "CONNECT")
                .add(":authority", "10.0.0.1:22"),
        )
        .answers(&[400, 405, GONE]),
        without("method-missing", ":method"),
        first("method-twice", ":method", "POST"),
        h2_fields(
            "h2-method-of-a-stranger",
            Fields::stranger("/x").set(":method", "get"),
        )
        .answers(&[400, 401, 405]),
        set("scheme-crlf", ":scheme", "http\r\nX-WeChat-OpenId: spoofed"),
        set("scheme-javascript", ":scheme", "javascript").either(),
        // The app knows the connection's own scheme: see the judge.
        set("scheme-https", ":scheme", "https").either(),
        set("scheme-with-host", ":scheme", "http://evil.example/x?"),
        without("scheme-missing", ":scheme"),
        first("scheme-twice", ":scheme", "https"),
        first("status-in-a-request", ":status", "200"),
        first("unknown-pseudo", ":x", "y"),
        first("pseudo-of-nothing", ":", "y"),
        with("pseudo-behind-a-field", ":path", "/pay/notify"),
        first("field-before-the-pseudo", "x-a", "b"),
        first("pseudo-in-upper-case", ":PATH", "/pay/notify"),
        h2_fields("h2-no-fields", Fields(Vec::new())),
    ]
}

fn hosts() -> Vec<Row> {
    let no = |name: &str, host: &str| {
        h2_fields(
            format!("h2-{name}"),
            Fields::visitor().without(":authority").add("host", host),
        )
    };
    vec![
        without("authority-missing", ":authority"),
        first("authority-twice-different", ":authority", "evil.example"),
        first("authority-twice-equal", ":authority", "{host}"),
        set("authority-empty", ":authority", ""),
        set("authority-user", ":authority", "user@{host}"),
        set(
            "authority-own-name-as-user",
            ":authority",
            "{host}@evil.example",
        ),
        set("authority-path", ":authority", "{host}/pay/notify"),
        set("authority-list", ":authority", "{host}, evil.example"),
        set("authority-space", ":authority", "{host} evil.example"),
        set("authority-port-of-letters", ":authority", "127.0.0.1:abc"),
        set("authority-two-ports", ":authority", "127.0.0.1:80:80"),
        set(
            "authority-crlf",
            ":authority",
            "{host}\r\nX-WeChat-OpenId: spoofed",
        ),
        set("authority-nul", ":authority", "{host}\0"),
        set("authority-high-byte", ":authority", "127.0.0.1\u{e4}"),
        set("authority-not-served", ":authority", "evil.example").answers(&[400, 404, GONE]),
        with("host-equal-to-authority", "host", "{host}")
            .either()
            .has("host", "{host}"),
        with("host-differs-from-authority", "host", "evil.example"),
        with("host-empty-beside-authority", "host", ""),
        with("host-twice-beside-authority", "host", "{host}").also("+host", "evil.example"),
        no("host-alone", "{host}").either().has("host", "{host}"),
        no("host-alone-empty", ""),
        no("host-alone-user", "user@{host}"),
        no("host-alone-twice", "{host}").also("+host", "evil.example"),
    ]
}

fn paths() -> Vec<Row> {
    let mut rows = Vec::new();
    for target in [
        "/pay/notify/../../admin",
        "/pay/notify/%2e%2e%2f..%2fadmin",
        "/pay/notify/..;/..;/admin",
        "/pay/notify\\..\\..\\admin",
        "//pay/notify",
        "/x/../welcome",
    ] {
        rows.push(
            h2_fields(format!("h2-path-{target}"), Fields::stranger(target))
                .answers(&[400, 401, GONE]),
        );
    }
    rows
}

impl Row {
    /// The same with another field set, or added where its name begins with `+`.
    fn also(mut self, name: &str, value: &str) -> Self {
        if let Attack::H2(steps) = &mut self.attack
            && let Some(Step::Fields(_, _, fields)) = steps.first_mut()
        {
            let old = Fields(std::mem::take(fields));
            let new = match name.strip_prefix('+') {
                // A pseudo-field stands before all others.
                Some(name) if name.starts_with(':') => old.first(name, value),
                Some(name) => old.add(name, value),
                None => old.set(name, value),
            };
            *fields = new.0;
        }
        self
    }
}
