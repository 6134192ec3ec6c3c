//! What the access log's words mean, in a sentence.
//!
//! Holds always: nothing here depends on a request; a word without a sentence is
//! told by itself.

/// Why, for the operator.
pub(super) fn sentence(way: &str, reason: &'static str) -> Option<&'static str> {
    Some(match (way, reason) {
        ("public", _) => {
            "the route has auth = \"none\": no session is looked for, and the app is told of nobody"
        }
        ("anonymous", _) => {
            "the route has auth = \"optional\", and there is no session that counts"
        }
        ("vouched", "session_without_payer") => {
            "there is a session, and the app is told nothing under pay_account: this browser is not WeChat's, or the route has auth = \"optional\", or it is a snapshot page"
        }
        ("vouched", _) => "there is a session, and it has what the route asks for",
        ("verify_file", _) => "a file of verify_files, which everybody may have",
        (_, "no_session") => "no session cookie of the route's account came",
        (_, "session_cookie_repeated") => {
            "the session cookie stands twice, and there is no telling which the browser meant"
        }
        (_, "session_forged") => "the session cookie does not verify: see below",
        (_, "session_of_another_place") => {
            "the session cookie was made for another host or another appid"
        }
        (_, "session_expired") => "the session is over: see below",
        (_, "session_from_the_future") => "the session was opened in the future: a clock is wrong",
        (_, "session_of_an_outsider") => {
            "the session is of somebody who is not of the corp, and accounts.NAME.outsiders is not set"
        }
        (_, "session_ended") => "the session was ended before its time",
        (_, "revocations_unknown") => {
            "it is not known which sessions were ended, and until then nobody is let in"
        }
        (_, "session_has_too_little") => {
            "there is a session, and the route asks for more: the visitor is sent to WeChat for it"
        }
        (_, "no_payer") => {
            "there is a session, and who the visitor is under the route's pay_account is not known yet: WeChat is asked in silence, once a page is opened"
        }
        (_, "payer_without_session") => {
            "the session is gone that the login with pay_account began beside: on to the target, where what is missing begins"
        }
        (_, "tokens_gone") => "the route needs the visitor's tokens, and they are gone",
        (_, "consent_page") => {
            "the route has consent_page = true: a page asks before the visitor is sent to WeChat"
        }
        (_, "keep_fragment") => {
            "the route has keep_fragment = true: a page keeps the address's fragment, then goes on to WeChat"
        }
        (_, "ambiguous_path") => {
            "servers read this path in different ways, and one of them reaches a route that asks for more, or none"
        }
        (_, "no_route") => "no route has this host and path",
        (_, "not_found") => "no path of the gateway's own, or one that nothing here has turned on",
        (_, "method") => "the method is none that is taken here",
        (_, "body_too_large") => "the body is larger than the route's max_body",
        (_, "plain_http") => "a page that was asked for without TLS, and redirect_http = true",
        (_, "foreign_origin") => "a WebSocket that a page of another host opens",
        (_, "snapshot_read_only") => "a snapshot page's visitor may look and change nothing",
        (_, "bad_host") => "there is no Host, there are two, or it is none",
        (_, "bad_target") => "the target is not of the form /path?query",
        (_, "bad_line") => "a line of the header is none by RFC 9112",
        (_, "bad_framing") => "how long the body is could be read in two ways",
        (_, "bad_coding") => "a transfer coding other than chunked",
        (_, "target_too_long") => "a target of more than 16 KiB",
        (_, "header_too_large") => "a header of more than 64 KiB, or of more than 256 fields",
        (_, "bad_method") => "TRACE, TRACK and CONNECT are never forwarded",
        (_, "no_account") => "no route of this host has an account",
        (_, "bad_return_to") => "the place to go back to stands twice, or is none on this host",
        (_, "no_upstream") => {
            "the request may go to the app, and the route has upstream = \"none\": a proxy that asks at /.wxgate/auth is told so, and who comes by itself gets 404"
        }
        (_, "auth_untrusted") => "/.wxgate/auth answers server.trusted_proxies alone: see --from",
        (_, "auth_untold") => {
            "a header is missing that tells what is asked about: X-Original-URI and -Method, or X-Forwarded-Uri, -Method, -Host and -Proto"
        }
        (_, "auth_told_twice") => "a header that tells what is asked about stands twice",
        (_, "auth_contradiction") => {
            "what is asked about is told in two ways, or two headers name different hosts"
        }
        (_, "auth_unfit") => "what is asked about is no method, no target, no host or no scheme",
        (_, "auth_disguised") => {
            "a header of the client's would make the app see another visitor, path or method, and the proxy let it pass"
        }
        (_, "auth_own_path") => {
            "a path of the gateway's own, or a file of verify_files: the proxy is to send it here and not to ask"
        }
        (_, "auth_not_for_this_route") => {
            "the route has access_token, or assertion without upstream = \"none\": a proxy that asks gets neither"
        }
        (_, "logged_in") => {
            "this browser began the login, and the state agrees: WeChat would be asked once for what the code stands for"
        }
        (_, "already_logged_in") => "there is a session already: the code is not spent",
        (_, "login_cookie_missing") => {
            "this browser has no login of that state: it took too long, cookies are off, or the address is somebody else's"
        }
        (_, "sign_on") => {
            "another host asked for a session, and there is none here that is enough: the visitor is sent to WeChat, and comes back to this ask"
        }
        (_, "ticket_given") => "another host asked for a session, and there is one here",
        (_, "ask_forged") => "no ask of ours stands in the address, once and whole",
        (_, "ask_of_another_place") => {
            "the ask is for another callback's host, or its own host has no route of that account any more"
        }
        (_, "ask_late") => "the ask is more than ten minutes old, or a clock is wrong",
        (_, "client_unknown") => {
            "the address names a client that no account of this callback's host has"
        }
        (_, "client_key_wrong") => {
            "the ask does not open under that client's key: it was changed, or the key is another there"
        }
        (_, "client_of_another_version") => {
            "the client's ask opens, and says what this version does not know"
        }
        (_, "client_of_another_account") => {
            "the client asks for another appid than its account has here"
        }
        (_, "client_of_another_kind") => {
            "the client has the account as one of another kind than it is here"
        }
        (_, "client_origin_not_listed") => {
            "the client asks for an origin that does not stand in its origins"
        }
        (_, "client_ask_late") => {
            "the client's ask is more than ten minutes old, or a clock is wrong"
        }
        (_, "client_tried") => "another gateway's doctor tried whether it may ask",
        (_, "no_navigation") => "no page is being opened, so that nobody could be sent on",
        (_, "ticket_taken") => "this browser began the login, and the ticket is for it",
        (_, "ticket_used") => "a ticket of this login was used before: the login begins anew",
        (_, "ticket_late") => {
            "the ticket is more than 30 seconds old, or a clock is wrong: the login begins anew"
        }
        (_, "ticket_without_login") => {
            "this browser has no login that the ticket is for: cookies are off, or the address is somebody else's"
        }
        (_, "ticket_not_begun_here") => {
            "this browser did not begin the login, as far as its own list tells: the login begins anew"
        }
        (_, "ticket_has_too_little") => {
            "the ticket's session is not what the login is for: the login begins anew"
        }
        (_, "sign_on_failed") => {
            "no ticket of ours for this host stands in the address, or none was taken several times"
        }
        (_, "started_again") => {
            "the login begins anew: this browser did not begin it, as far as its own list tells, or its code was not taken"
        }
        ("facade", "code_given") => {
            "the visitor has a session of the app's account at the facade's host: they go back to the app with a code"
        }
        (_, "facade_api") => {
            "appid and secret are the app's, where they are needed: what the code or token stands for only the store knows, and it was not looked at"
        }
        (_, "errcode_10003") => "redirect_uri is at none of the app's callback_origins",
        (_, "errcode_10005" | "errcode_10010") => {
            "scope is neither snsapi_base nor snsapi_userinfo"
        }
        (_, "errcode_10011") => "redirect_uri is empty or missing",
        (_, "errcode_10012") => "appid is empty or missing",
        (_, "errcode_10013") => "state is not 1 to 128 letters or digits",
        (_, "errcode_40013") => "no app_id of facade.apps is this",
        (_, "errcode_40125" | "errcode_41004") => "the secret is not the app's app_secret",
        (_, "errcode_40035" | "link_unclear") => "a parameter stands twice, or is not UTF-8",
        (_, "link_without_response_type") => "response_type is not code",
        (_, "link_too_long") => "the link is longer than a login can remember",
        (_, "app_loops") => "the app has sent this visitor here more than 60 times in a minute",
        (_, "login_endpoint") => "the way in for pages that were answered 401",
        ("endpoint", _) => "one of the gateway's own paths, which no app is asked for",
        _ => return None,
    })
}
