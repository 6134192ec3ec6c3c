//! wxgate stands in front of web apps that cannot be changed and gives them
//! WeChat login. A visitor without a session is sent through WeChat's web page
//! authorisation (网页授权); the code is exchanged here, on the server; from
//! then on every request that reaches the app carries `X-WeChat-OpenId`.
//!
//! ```text
//! listener → which host and path? (route, decided once)
//!   /.wxgate/…                     → the gateway's own endpoints
//!   the facade's host              → what WeChat would answer an app that does OAuth itself
//!   auth = "none"                  → strip identity headers → app
//!   session cookie good            → strip, vouch, forward  → app          (with pay_account, inside WeChat, once it is known
//!                                                                           who the visitor is under that, too)
//!   auth = "optional", no session  → strip → app
//!   a navigation that an account   → remember the target, 302 to WeChat (or a page that asks, or keeps the fragment),
//!   of this browser's kind is for    or to the callback's host, here or at the gateway that holds the secret, and
//!                                    from there back with a ticket
//!   another navigation             → a page that says where to open this address
//!   anything else                  → 401 JSON
//! callback → login cookie → state equal → one exchange → session → 302 to the target
//! ```
//!
//! # Tenets, in order
//!
//! 1. Nobody gets in who was not let in. A doubt is a refusal; no switch fails open.
//! 2. The app is untouched: what is added is one family of headers.
//! 3. A visitor meets neither a dead end nor a loop.
//! 4. Secrets, tokens and codes reach no browser, log or error.
//! 5. A logged-in request makes no network call but the one to the app, unless its
//!    route asks for what only WeChat knows.
//! 6. One machine needs nothing but the binary and one file.
//!
//! # Where to begin
//!
//! [`gateway`] has the phases of a request, and its `decide` the one decision.
//! The evidence is in the types: a [`wechat::Code`] is lent only to whoever
//! shows the state, a [`wechat::Grant`] comes only from an exchange, a
//! [`session::Session`] only from a grant or a verified cookie, or sealed from
//! where that was, a permit only from the decision, and [`identity::vouch`] takes
//! nothing but a session.
//!
//! # The order
//!
//! A module uses only what stands below it; a test keeps it so.
//!
//! | module | what it is |
//! |---|---|
//! | `demo` | simulator, shop and gateway on loopback |
//! | `server` | listeners, threads, another plan, another process, drain |
//! | `admin` | health, readiness, metrics, status, the end of sessions, for operators |
//! | `explain` | what becomes of one request, and why |
//! | `assembly` | from a plan to a gateway, and what outlives the plan |
//! | `handover` | listening sockets, from one process to the next |
//! | `reload` | `gateway.toml`, read anew: when, and what came of it |
//! | `doctor` | what would go wrong for the first visitor |
//! | `logging` | which lines are written, and where |
//! | `config` | `gateway.toml` as values that cannot be wrong |
//! | `gateway` | the request's way: phases, decision, answers |
//! | `callback` | back from WeChat: check, exchange once, open a session |
//! | `circuit` | an account's quota at WeChat, once it is used up |
//! | `endpoints` | the gateway's own paths: login, logout, me, openid, auth |
//! | `login` | no session: remember where to, send to WeChat |
//! | `signon` | what crosses from one host to another, or one gateway to another: ask and ticket |
//! | `tokens` | a visitor's tokens: kept sealed, renewed, used |
//! | `facade` | WeChat's face for apps that do OAuth themselves: codes, tokens, what they tell |
//! | `identity` | `X-WeChat-*`: strip, vouch, assert |
//! | `session` | a visitor WeChat vouched for: open, read, renew, end |
//! | `tls` | TLS towards visitors: certificates by host, handshakes |
//! | `route` | host and path → route, decided once |
//! | `connection` | a visitor's connection: its place, and how slowly a header may come |
//! | `upstream` | the app: its peers, who is asked, what is sent again, forwarded headers |
//! | `request` | a request as the gateway reads it |
//! | `limits` | how much one address, and all together, may ask for |
//! | `metrics` | what is counted, for operators |
//! | `access_log` | one line a request |
//! | `telemetry` | traces: which request belongs to which, and where its spans go |
//! | `reply` | the gateway's own answers and pages |
//! | `wechat` | WeChat's protocol, and nothing of the gateway |
//! | `store` | what no cookie may hold: sealed records, revocations |
//! | `revocation` | what has been ended before its time |
//! | `cookies` | the gateway's cookies: names, finding, writing, hiding |
//! | `origin` | hosts, public origins, the way back |
//! | `signing` | HMAC-SHA256 under several keys |
//! | `process` | what the operating system is asked for |
//! | `secret` | a text that must not be seen |
//! | `simulator` | a WeChat of one's own, for people and for tests |
//! | `html` | text for HTML |
//!
//! # Threats
//!
//! Each way in which gateways of this kind were broken, as their advisories tell
//! it, with what stops it here and the test that shows it. O2P is oauth2-proxy, MAO
//! mod_auth_openidc, TRF Traefik, CAD Caddy, POM Pomerium, AUT Authelia, OAK
//! Oathkeeper, HEI Heimdall, ENV Envoy, APX APISIX, CS caddy-security, TFA
//! traefik-forward-auth; a number is a CVE's. "own" came from a reading, a probe
//! or a fuzzer here.
//!
//! | attack | seen in | stopped by | test |
//! |---|---|---|---|
//! | **Identity** | | | |
//! | an identity header in any spelling that an app may fold: case, `_`, `.`, twice, on any method | O2P 2025-64484; TRF 2026-33433, -39858, -54763; CAD 2026-52845 | `identity::strip`, by folded names, on every route | `hostile::no_spelling_of_an_identity_reaches_the_app`, `hostile::spoofing`, `hostile::forwarded`, `properties::a_name_that_folds_to_the_identity_family_is_stripped` |
//! | an identity header where the gateway itself writes none | CAD 2026-30851; APX 2026-31908, -39998, -44087; MAO #222 | `strip` comes first, `vouch` writes or nobody does | `hostile::no_spelling_of_an_identity_reaches_the_app`, `visit::public_and_optional_routes_let_everybody_in` |
//! | `Connection: X-WeChat-OpenId`, so that a proxy drops what was vouched | TRF 2024-45410, 2026-29054; OAK GHSA-w9mr-28mw-j8hg; O2P; Pingora 2026-105299 | `vouch` in `upstream_request_filter` alone | `hostile::the_connection_header_takes_nothing_of_ours_away` |
//! | an identity in a trailer, over HTTP/1.1 or HTTP/2 | TRF trailer tests | Pingora forwards no trailers to HTTP/1.1 | `hostile::request_trailers_stay_behind`, `hostile::spoofing`, `hostile::fields` |
//! | a corp's member taken for who has an openid that is spelled alike, or the other way round | own | `wechat::Visitor`: two types, headers, revocations, names; `member:` in an assertion | `kinds::one_route_three_browsers_three_logins_one_app`, `outsiders::an_outsider_has_an_openid_and_no_userid_and_their_session_ends_with_the_setting`, `session::a_member_is_nobody_with_such_an_openid`, `revocation::a_member_and_who_has_such_an_openid_are_two_and_case_makes_no_difference`, `api::a_corps_visitor_is_a_member_or_has_an_openid_and_never_both` |
//! | somebody who is not of the corp, whom WeCom names all the same, at a route for its members | own | `LoginAccount::admits`, before a session is opened and whenever one is read | `outsiders::who_is_not_of_the_corp_gets_a_page_and_no_session`, `outsiders::no_other_host_is_a_way_in_for_an_outsider`, `outsiders::an_outsider_has_an_openid_and_no_userid_and_their_session_ends_with_the_setting` |
//! | a session of one kind of account, or of another app of the corp, shown for another's | own | kind and agent stand inside the signature | `session::a_session_of_one_kind_or_agent_is_none_of_another_with_the_same_id`, `kinds::a_session_of_another_of_the_routes_accounts_lets_in_and_of_no_other` |
//! | a user agent that lets in, or sends a visitor to a page of WeChat's that can only fail | own | `gateway::browser`: it chooses the way to log in, and nothing else | `kinds::a_session_of_another_of_the_routes_accounts_lets_in_and_of_no_other`, `kinds::a_browser_that_no_account_is_for_is_told_where_to_open_the_page` |
//! | a visitor without the id by which the app knows them | own | `route::Need`: a unionid is needed, or it is no session | `kinds::a_unionid_is_one_for_both_browsers_and_required_where_the_route_says_so`, `kinds::who_has_no_unionid_gets_a_page_and_no_loop` |
//! | any `Authorization` taken for a login | ENV 2022-29226 | nothing but the session cookie is read | `hostile::a_tampered_or_moved_session_is_none`, `hostile::sessions` |
//! | an app that others can reach and that trusts a plain header; a token replayed at another host | AWS "ALBeast" | `identity::assertion`: signed, for one host, for minutes; the app verifies it | `assertion::an_assertion_verifies_and_says_what_the_headers_say`, `assertion::an_assertion_is_for_the_host_that_was_asked`, `assertion::an_assertion_that_a_client_sent_is_gone` |
//! | an app that answers in the gateway's name: cookies, identity | own | `upstream_response_filter` | `proxying::an_app_sets_its_own_cookies_and_none_of_ours` |
//! | `Proxy: …`, which becomes `HTTP_PROXY` in a CGI app | 2016-5385 | `identity::strip` | `hostile::hops`, `identity::stripping_leaves_the_apps_own_headers` |
//! | **Where a request comes from** | | | |
//! | forged `X-Forwarded-*`, `Forwarded`, `X-Real-Ip` and kin | TRF 2026-35051, -54764; CS 2024-21494; O2P #3506 | `identity::strip`; `upstream::TrustedProxies`, from right to left | `hostile::what_a_client_says_of_its_way_is_rebuilt`, `hostile::what_a_proxy_passes_on_unknowing_is_not_believed`, `upstream::proxies_are_walked_from_right_to_left_as_far_as_they_are_trusted`, `upstream::every_name_that_says_where_from_is_found` |
//! | a hop that hides the one a proxy appended | own, by fuzzing | hops are bytes, and an unknown one ends the walk | `upstream::a_hop_that_is_no_text_does_not_hide_the_one_behind_it` |
//! | everybody a trusted proxy | O2P `--trusted-ip`, O2P #3506 | `0.0.0.0/0` is no proxy; the default is nobody | `upstream::nobody_trusts_everybody`, `upstream::a_strangers_word_about_itself_is_not_believed` |
//! | another path or method by `X-Forwarded-Uri`, `X-Original-Url`, `X-Rewrite-Url` | O2P 2026-40575 | the decision reads the request line alone | `hostile::a_path_that_looks_public_is_not`, `hostile::paths` |
//! | another rule by `X-Forwarded-Proto` | OAK 2026-33495 | the decision does not know the scheme | `hostile::a_path_that_looks_public_is_not` |
//! | a redirect or a call to a host that a header names | Zitadel 2025-64101; CS 2024-21499, 2024-21498 | `origin::PublicOrigin` comes from the file alone, but for a port that another gateway holds against its list | `hostile::a_way_back_never_leaves_the_host`, `environments::a_wrong_key_an_unknown_client_and_an_unlisted_origin_end_on_a_page` |
//! | a trace that a client made up, by which its requests stand among another's, or all are recorded | own | `telemetry`: `traceparent` and `tracestate` are believed from trusted proxies alone | `trace::a_trace_is_believed_from_trusted_proxies_alone` |
//! | **A proxy that asks** (`/.wxgate/auth`) | | | |
//! | a question from who is no proxy of ours, with headers of its own | O2P 2026-40575 | `gateway::auth`: trusted proxies alone are answered | `auth_endpoint::nobody_but_a_trusted_proxy_is_answered` |
//! | a client's own `X-Original-URI` or `X-Forwarded-Uri` beside the proxy's; none at all | O2P 2026-40575 | `endpoints::auth::Original`: told once, in one way, or refused | `auth_endpoint::what_is_told_twice_or_in_two_ways_is_refused`, `auth::what_is_not_told_once_and_in_one_way_is_not_told` |
//! | another reading of the path than the proxy forwards; a target that is none, let through | AUT 2021-32637; OAK 2026-33494 | `decide`, on the target as it was told, byte for byte | `auth_endpoint::the_path_that_is_forwarded_is_the_path_that_decides`, `auth::what_no_request_could_be_is_not_asked_about` |
//! | an identity header where the answer has none, or in a spelling that the answer's does not displace | CAD 2026-30851; APX 2026-31908; TRF 2026-33433, -39858, -54763 | every name is answered, empty where nothing is known; other spellings are refused | `auth_endpoint::a_yes_says_who_the_visitor_is_and_empties_the_rest`, `auth::what_would_disguise_a_request_is_refused` |
//! | a page that asks the visitor something taken for a "yes" | own | `reply::Reply::refusing` | `auth_endpoint::a_page_that_asks_first_is_no_yes`, `reply::no_answer_is_a_yes_by_accident` |
//! | a WebSocket whose `Upgrade` the proxy leaves out of its question | own | `Sec-WebSocket-Key` says the same | `auth_endpoint::a_websocket_of_another_sites_page_is_refused_however_it_is_told` |
//! | a token or a proof for a visitor who gets past the proxy to the question | own | no tokens; proofs with `upstream = "none"` alone | `auth_endpoint::proofs_are_for_routes_that_are_asked_about_and_tokens_for_none` |
//! | a request that a proxy only asks about, forwarded all the same | own | `upstream = "none"` is never forwarded | `auth_endpoint::a_route_without_an_app_is_never_forwarded` |
//! | **Paths and methods** | | | |
//! | a rule matched on the query | O2P 2025-54576 | `route::Routes::decide` is given the path alone | `hostile::a_path_that_looks_public_is_not` |
//! | dot segments, plain or encoded | OAK 2026-33494; HEI 2026-42274; TRF 2026-40912, -48020, -65600, -67309 | no decision where a reading is stricter (`route::Decided::Ambiguous`); nothing is rewritten | `route::a_path_that_could_be_a_stricter_routes_is_not_decided`, `hostile::paths` |
//! | encoded slashes, backslashes, NUL, `?`, `#`, `;` and doubled slashes | TRF 2025-66490, -47952, -32431; APX 2021-43557; O2P 2026-41059; POM 2021-39204, -39206, -39162; CAD #7828 | the same, for every order of a server's steps | `route::a_path_that_could_be_a_stricter_routes_is_not_decided`, `hostile::paths`, `corpus::the_corpus_holds` |
//! | `#` in a request's target | TRF 2023-47106 | `connection::RequestLine`, `request::Asked::read` | `connection::a_request_line_is_known`, `hostile::lines` |
//! | a target that cannot be parsed, let through | AUT 2021-32637 | `request::Unreadable` is a refusal | `hostile::a_request_that_can_be_read_in_two_ways_is_refused` |
//! | a host in other letters, with a dot, with a port | AUT 2026-48794; CAD 2026-27588, -27587 | `origin::Host` has one spelling | `origin::a_host_has_one_spelling`, `route::hosts_are_whole` |
//! | a route decided twice, differently | POM 2023-33189 | the permit carries its route | `hostile::a_path_that_looks_public_is_not`, `visit::a_routes_own_settings_are_kept` |
//! | an unusual method past the lock | O2P `METHOD!=` rules | the decision does not look at it | `hostile::every_method_needs_the_session` |
//! | another method by `X-HTTP-Method-Override` | own | `identity::strip`, on routes with `methods` | `hostile::lines` |
//! | a health check's user agent past the lock | O2P 2026-34457 | health has a listener of its own | `hostile::a_path_that_looks_public_is_not`, `proxying::health_is_told_to_operators_and_not_to_visitors` |
//! | an error that lets in | TRF 2026-54762 | `None` for a permit is never forwarded | `hostile::every_method_needs_the_session`, `hostile::a_tampered_or_moved_session_is_none` |
//! | the app asked before the visitor is let in | MAO 2025-31492 | no upstream without a permit | `hostile::every_method_needs_the_session` |
//! | a decision remembered for another visitor | OAK 2026-33496, 2021-32701, GHSA-qvp4; TRF 2026-71326 | decisions are not kept; a flight's key is the login and its code | `login::eight_callbacks_at_once_make_one_call_and_eight_redirects`, `login::another_browser_with_the_same_link_gets_nothing` |
//! | **Requests** | | | |
//! | length and coding, obfuscated codings, several lengths | Pingora 2026-2835, #945 | `request::Asked::read`, which also asks the bytes as they came | `hostile::framing`, `hostile::chunks`, `hostile::a_request_that_can_be_read_in_two_ways_is_refused` |
//! | a request behind a body whose length is a list | own | `request::Asked::read` | `hostile::framing`, `request::what_could_be_read_twice_is_refused` |
//! | the rest of a refused body taken for the next request's header, whoever sends that | own | `gateway` drains it first | `proxying::what_is_left_of_a_refused_request_does_not_spoil_the_next` |
//! | a stricter route's methods or size evaded by another spelling of its path | own | `route::Route::covers` | `limits::another_spelling_of_a_path_has_no_other_limits` |
//! | what another gateway, once in front, would have said: `Remote-User`, certificates | own | `identity::strip` | `identity::what_another_gateway_would_say_is_known` |
//! | bare CR or LF, folding, control characters, two hosts, absolute targets | own | `connection::RequestLine`, `request::Asked::read` | `hostile::lines`, `hostile::hosts`, `hostile::headers`, `request::what_could_be_read_twice_is_refused` |
//! | a request behind an upgrade, or behind a body | Pingora 2026-2833 | Pingora since 0.8.0; what follows is dropped | `hostile::bytes_behind_a_request_are_no_second_one`, `hostile::framing`, `hostile::chunks`, `hostile::hops` |
//! | requests split by line breaks in HTTP/2 fields | own | h2 and Pingora refuse them | `hostile::fields`, `hostile::pseudo` |
//! | HTTP/2 cookies in pieces, so that ours is missed or the app's are lost | Pingora #892 | `cookies::lines` reads all, `for_app` joins | `hostile::fields`, `proxying::several_cookie_lines_become_one` |
//! | HTTP/2 frames out of order or without end | Pingora 2026-105297 | h2's limits, and a minute without a request | `hostile::frames`, `hostile::floods` |
//! | CONNECT and TRACE | Pingora before 0.8.0 | `request::Asked::read` | `hostile::every_method_needs_the_session` |
//! | a request that may have reached its app sent again: paid twice | own | `Upstream::broke_off`: an idempotent method, no body, no byte of an answer, a connection that had served | `broken_off::what_may_have_been_done_is_never_sent_again`, `broken_off::an_answer_that_began_is_not_asked_for_again`, `broken_off::a_new_connection_that_breaks_off_is_not_tried_again` |
//! | an app's certificate unchecked, or checked by another name | Pingora, with no name or one with `_` | `upstream::CertificateName`; no setting leaves it out | `secured::an_app_is_believed_by_its_authority_and_name_alone`, `secured::a_certificate_is_checked_by_a_name_that_means_what_it_says`, `secured::a_check_believes_nobody_whom_requests_do_not` |
//! | a connection to an app used by a route that believes others, or shows another certificate | Pingora's pool | `upstream::Tls`: a group of connections for each | `secured::connections_are_shared_by_those_alone_who_speak_tls_alike` |
//! | an app switched off by visitors whose requests fail | own | a rest has an end, and somebody is always tried | `upstreams::where_everybody_rests_somebody_is_tried_all_the_same`, `state::a_rest_ends_however_often_a_peer_failed` |
//! | an app that switches protocols uninvited | own | `upstream_response_filter` | `hostile::an_app_cannot_switch_protocols_uninvited` |
//! | a WebSocket opened by another site's page, or let through by `Connection: upgrade` | O2P; pingap | `request::Asked::is_foreign_socket`; the decision comes first | `hostile::a_websocket_for_another_sites_page_gets_no_visitor`, `hostile::hops` |
//! | another host's certificate for whoever asks, and with it which hosts there are | nginx's default server | `tls::Certificates::find`; `unrecognized_name` | `tls::each_host_is_shown_its_own_certificate_or_none` |
//! | handshakes without end, counted nowhere | Pingora's listener | `tls::Secured`: a place first, then one time for all of it; likewise for HTTP/2's preface | `tls::a_slow_handshake_is_cut_off`, `tls::a_handshake_has_its_place_among_the_connections`, `connection::http_2_that_was_agreed_upon_must_begin` |
//! | an older TLS than the operator wants | own | `tls::MinVersion` | `tls::the_oldest_version_is_the_one_that_is_set` |
//! | a renewal that breaks what was served | own | `tls::Certificates`: the old one goes on | `tls::a_renewal_is_served_from_the_next_handshake_on_and_a_broken_one_is_not` |
//! | a way to https that a header names | own | `gateway::https`: the host of a route | `tls::pages_by_plain_http_are_sent_to_https` |
//! | hostile HTTP/2 inside TLS | own | the same, behind the handshake | `hostile::over_tls` |
//! | targets, headers and fields without end | own | `request::Asked::read`, `connection` | `hostile::too_much_is_refused_before_it_is_read`, `limits::a_header_above_all_limits_is_not_kept`, `route::a_long_path_is_decided_at_once` |
//! | a header sent drop by drop; a body likewise | own | `connection`, one time for the whole header; a least rate for bodies | `limits::a_header_that_comes_drop_by_drop_is_cut_off`, `connection::a_header_in_a_thousand_pieces_is_cut_off`, `gateway::a_body_may_be_slow_but_not_endless` |
//! | an answer that nobody takes | own | `connection`, a minute in which nothing is taken; a write timeout for streams of HTTP/2 | `connection::a_client_that_takes_nothing_is_left` |
//! | connections, logins, callbacks and bodies without end | O2P has no limit | `limits` | `limits::an_address_has_a_number_of_connections`, `limits::an_address_starts_a_number_of_logins`, `limits::an_address_brings_a_number_of_callbacks`, `limits::a_number_of_logins_wait_for_wechat`, `limits::a_body_has_a_largest_size` |
//! | a limit evaded by another spelling of oneself | AUT 2025-24806, 2026-47203 | `limits::household` | `limits::a_household_is_one_address`, `limits::behind_a_trusted_proxy_each_visitor_is_counted` |
//! | **Redirects and pages** | | | |
//! | an open redirect by `login?to=`: `//`, `/\`, tabs, dots, other schemes | O2P 2017-1000070, 2020-5233, 2020-11053, 2020-4037; MAO 2022-23527; mellon 2019-3877; CS 2024-21497 | `origin::ReturnTo`, made by the WHATWG parser | `origin::a_parameter_never_leaves_the_origin`, `hostile::redirects`, `properties::a_way_back_that_is_accepted_stays_on_its_origin` |
//! | a redirect built of a path that begins with two slashes | CAD 2022-28923 | it is joined to the origin | `hostile::a_way_back_never_leaves_the_host`, `hostile::a_page_leads_to_no_other_host` |
//! | a domain that merely ends like ours | O2P 2021-21291 | `origin::Host::is_within`, by whole labels | `origin::a_host_has_one_spelling`, `route::hosts_are_whole` |
//! | a logout that leads elsewhere, or that another site's page sends | AUT 2021-29456; O2P `sign_out` | it has no target, and asks where it comes from | `endpoints::another_sites_page_logs_nobody_out`, `request::another_sites_post_is_told_apart` |
//! | script in a page | CS 2024-21496, -52430; AUT 2026-33525 | `html::escape`, a policy without script | `reply::what_a_visitor_brings_is_escaped`, `pages::what_stands_in_an_address_is_text_on_every_page` |
//! | **Sessions and logins** | | | |
//! | a forged, changed, cut, moved or repeated session cookie | TFA; ENV 2023-35941 | `signing::Keyring::open` (fixed lengths before the payload, purpose inside), `session::Sessions::read` | `signing::every_changed_character_is_refused`, `properties::a_session_cookie_with_any_byte_changed_is_refused`, `hostile::a_tampered_or_moved_session_is_none` |
//! | a session of another host, account or purpose | APX #13387, 2026-49872 | host, appid and purpose stand inside the signature | `session::a_session_holds_at_its_host_and_account_alone`, `session::a_login_is_no_session` |
//! | a token whose algorithm the client chooses | APX 2026-39999; MAO 2026-08 | one algorithm for each key, never read from a token | `signing::what_was_sealed_opens_for_its_purpose_alone`, `hostile::sessions` |
//! | times beyond reason, clocks that wrap | MAO 2026-08-12 | 64 bits, saturating; the future is a refusal | `session::idle_and_absolute_limits_end_it_and_half_the_idle_time_renews_it` |
//! | a session that was there before the login | O2P 2026-34454; MAO 2026-08 | a new id at each login | `login::each_login_opens_a_session_of_its_own` |
//! | a count of cookie pieces that the client chooses; `Cookie: ;` | MAO 2024-24814, 2023-28625 | one cookie, one piece; fuzzed | `cookies::the_app_gets_its_own_cookies_byte_for_byte`, `corpus::the_corpus_holds` |
//! | cookies that a logout leaves | ENV 2025-55162 | deleted as they were set | `cookies::set_cookie_binds_to_host_and_https`, `endpoints::a_page_of_this_host_logs_its_visitor_out` |
//! | a copied cookie after a logout | CS 2024-21492 | the session is ended on the server, `revocation` | `revocation::a_copied_cookie_is_dead_after_the_logout` |
//! | a WebSocket that outlives its session | own | `connection::lasts` | `revocation::a_websocket_ends_with_its_session_and_no_other_does`, `revocation::a_busy_websocket_ends_with_its_session_too`, `session::waiting_for_the_end_ends` |
//! | a session that was ended between two processes, of which one follows the other | own | `store::Exclusive` keeps a journal beside the file | `exclusive::what_is_ended_between_two_processes_is_ended_for_both` |
//! | a directory for keys that changes under a running process, so that what was ended begins anew | own | `assembly`: keys and journal change together, at a start | `reload::keys_that_are_kept_stay_until_a_restart_with_what_was_ended` |
//! | a consent that was withdrawn | WeChat | `verify_every`; the session is ended everywhere | `tokens::whoever_withdraws_their_consent_is_logged_out_everywhere` |
//! | a question to WeChat that is not answered taken for a yes | own | `gateway::fresh` | `tokens::a_question_without_an_answer_counts_for_as_long_again_and_no_longer` |
//! | a session let in while it is not known which have ended | own | `revocation::Revocations::is_complete` | `session::nobody_is_let_in_before_it_is_known_who_was_put_out` |
//! | login CSRF, session fixation: a callback link sent to another person | O2P 2017-1000069; APX feishu-auth, dingtalk-auth | `login::carried`, then `wechat::Answer::for_login` | `login::another_browser_with_the_same_link_gets_nothing`, `login::a_state_must_be_the_cookies_own` |
//! | a code spent before the state is compared | O2P | `wechat::Code` is lent to the state alone | `wechat::the_code_is_lent_to_its_state_alone` |
//! | a code on any path | APX feishu-auth | `endpoints::Endpoint::Callback` alone reads it | `hostile::callbacks` |
//! | `code` or `state` twice in a callback | MAO 2026-08-12 | `wechat::callback` takes them if equal | `wechat::repeated_parameters_must_agree` |
//! | a code spent twice by doubled callbacks | chanxuehong/wechat #226; WxJava #388 | `callback::Callbacks`: one flight for each (login, code) | `login::eight_callbacks_at_once_make_one_call_and_eight_redirects` |
//! | a login cookie planted from another host of the domain | own | `login::Login::listed`, by a cookie that is bound to this host | `login::a_login_cookie_that_another_host_planted_logs_nobody_in` |
//! | a quota that is used up, and asked on and on | own | `circuit` | `answers::a_used_up_quota_costs_no_further_call_and_no_visitor_their_session` |
//! | guessing codes at the account's cost | own | `callback::Callbacks` counts them | `login::one_login_costs_three_calls_at_most` |
//! | an endless login loop | Vouch #42 and many | attempts in the state, rounds in the login cookies | `login::a_browser_without_cookies_is_stopped_after_two_rounds`, `login::a_session_that_does_not_stick_is_stopped_after_four_rounds`, `login::a_code_that_wechat_never_takes_is_tried_three_times`, `login::a_second_cookie_of_the_same_name_is_no_loop` |
//! | two ids in one | O2P 2026-40574 | `wechat::OpenId` has an alphabet | `wechat::only_the_alphabet_of_ids_is_taken` |
//! | randomness that can be guessed | CS 2024-21495 | `getrandom` alone | `wechat::a_state_is_random_and_in_wechats_alphabet` |
//! | a difference in time that tells a secret | TRF 2026-32595, -41263 | `Mac::verify_slice`, `wechat::State::same` | `properties::a_state_is_the_same_as_itself_alone` |
//! | a snapshot page's visitor taken for a person | WeChat | `wechat::Grant::is_snapshot` is a refusal, or a session of its own purpose that changes nothing | `pages::a_snapshot_visitor_is_asked_for_the_full_service_and_is_nobody`, `snapshot::a_snapshot_visitor_may_look_and_change_nothing`, `snapshot::a_snapshot_visitor_is_nobody_elsewhere` |
//! | **From one host to another** | | | |
//! | a ticket used twice, or seen on its way | own | `callback::Callbacks::redeem`: once for each login, and the login's cookie besides | `signon::a_ticket_is_taken_once`, `signon::of_eight_tickets_at_once_one_opens_a_session`, `signon::a_second_ticket_of_the_same_login_is_not_taken_either`, `gateways::a_ticket_is_taken_once_by_all_that_share_a_redis` |
//! | a ticket while it cannot be known whether it was used | own | nobody is let in | `gateways::no_ticket_is_taken_while_redis_is_away` |
//! | an ask or a ticket altered, cut, made up, taken for one another | POM 2021-29652 | `signing::Keyring::reveal`, a purpose for each | `signon::a_ticket_with_anything_changed_logs_nobody_in`, `signon::an_ask_that_is_not_ours_or_not_for_here_is_answered_with_a_page`, `signon::an_ask_says_what_was_asked_and_is_readable_by_us_alone`, `properties::an_ask_or_ticket_with_any_byte_changed_is_none` |
//! | an old ticket, out of a log or a history | own | 30 seconds | `signon::a_late_ticket_is_not_taken` |
//! | a ticket brought to another host | own | the host is sealed in | `signon::a_ticket_at_another_host_logs_nobody_in`, `signon::a_ticket_opens_at_its_host_alone_and_with_no_byte_changed` |
//! | login CSRF by a ticket's address; a visitor's ticket for an attacker's login | own | a hash of the state, which never leaves the cookie; a ticket in the wrong browser is used up | `signon::a_ticket_in_another_browser_logs_nobody_in_as_somebody_else`, `signon::an_ask_in_another_browser_gives_away_nobody`, `signon::a_login_cookie_that_another_host_planted_takes_no_ticket` |
//! | an ask that names a foreign host; an open redirect | CS 2024-21497 | the ask is sealed, and its host has a route of the account | `signon::an_ask_that_is_not_ours_or_not_for_here_is_answered_with_a_page` |
//! | a ticket of an account, a scope or a session that is none here | own | `session::Sessions::take_over` | `signon::a_ticket_with_less_than_was_asked_or_of_another_account_is_not_taken`, `signon::a_session_that_was_ended_takes_no_ticket_along`, `signon::one_accounts_session_is_none_of_anothers_at_any_host` |
//! | a logout that leaves the other hosts' sessions | own | one session id at all hosts | `signon::a_logout_at_one_host_ends_the_session_at_all` |
//! | who somebody is, or where they go, in an address, a referrer, a cache, a log | own | both are sealed, `no-referrer`, `no-store`; no query in the log | `signon::the_first_visit_to_each_host_ends_where_it_was_going_and_wechat_is_asked_once`, `signon::what_crosses_is_kept_by_no_cache_and_told_to_no_other_site`, `secrets::nothing_secret_is_said_at_any_level` |
//! | two hosts that send a visitor to and fro | own | attempts in the ask and the ticket, rounds in the login cookies | `signon::browsers_that_keep_too_little_are_stopped`, `signon::a_ticket_never_taken_ends_on_a_page` |
//! | a client's key as a key to the gateway that holds the secret: its own hosts' asks and tickets, a session, a login, an operator's word | own | a ring and purposes of their own (`signon::ClientAsk`, `signon::ClientTicket`); a key is for one of all of them (`config`) | `environments::what_a_client_has_opens_nothing_of_productions_nor_the_other_way_round`, `properties::what_crosses_between_gateways_with_any_byte_changed_is_nothing`, `clients::a_client_that_cannot_be_one_is_told_with_what_would_be_right`, `clients::a_key_that_is_kept_for_sessions_is_no_clients` |
//! | a client that asks for an attacker's origin, under another's name, for another account: an open redirect, a visitor given away | own | the name inside the sealing, an exact list of origins; who is refused is sent nowhere | `environments::an_ask_that_is_none_of_a_clients_is_refused_and_sent_nowhere`, `environments::a_wrong_key_an_unknown_client_and_an_unlisted_origin_end_on_a_page` |
//! | a client's ticket twice, late, changed, at another origin or port, in another browser | own | as between hosts; the origin is sealed in | `environments::a_ticket_is_taken_once_and_by_the_browser_alone_that_began`, `environments::what_comes_late_is_not_taken_and_goes_round_never`, `environments::a_ticket_with_anything_changed_or_at_another_origin_logs_nobody_in` |
//! | a client that was taken out, with a login on its way | own | each step asks the list that is served now | `environments::a_client_that_is_removed_logs_nobody_in_any_more` |
//! | a session or a token of one gateway's by way of a ticket for another | own | `session::Passed` has neither; `wechat::Api` asks nothing without the secret | `passed::what_is_passed_is_who_the_visitor_is_and_opens_another_session`, `environments::a_session_there_is_another_and_names_none_of_productions`, `api::nothing_is_asked_of_wechat_where_another_gateway_holds_the_secret` |
//! | clients found by trying names; a log full of tries | own | one page for all; a try is answered under the key alone; one line a minute | `told::a_try_is_answered_for_whoever_has_the_key`, `told::logs_say_what_is_to_be_done_and_nothing_secret` |
//! | a visitor sent to and fro between two gateways, or by a client past the limits | own | as between hosts; a client's ask counts as a start | `environments::browsers_that_keep_too_little_are_stopped_and_logins_are_counted` |
//! | **Who pays, beside a session** | | | |
//! | one visitor's openid to pay with beside another's session: a cookie that stayed, was copied, or came from elsewhere | own | it carries the session's id, host and appid inside its signature | `pay::a_payer_counts_beside_their_own_session_alone`, `pay::whoever_logs_in_anew_as_somebody_else_pays_as_themselves`, `pay::what_was_made_for_anything_else_tells_of_nobody`, `pay::what_one_host_was_told_is_nothing_at_another` |
//! | a gateway that has the account as one of another kind: to and fro between two, a member's userid for an openid | own | the kind in the ask and in the ticket; a page, and no redirect back | `environments::a_gateway_with_the_account_as_another_kind_ends_on_a_page_with_every_browser`, `passed::a_corps_member_is_received_as_one_alone` |
//! | what tells who pays, taken for a session; a session, taken for who pays | own | a purpose and a cookie of its own | `pay::a_payer_is_no_session_and_a_session_no_payer`, `pay::what_was_made_for_anything_else_tells_of_nobody` |
//! | somebody's earlier login at the callback's host, given along | own | the ask says that WeChat is asked anew, and that nothing stays there | `pay::nobodys_earlier_login_at_the_callback_stands_beside_anothers_session`, `pay::by_way_of_other_hosts_both_arrive_and_nothing_of_it_stays_there` |
//! | a second login that ends beside another session than it began beside | own | `login::Opens::Payer` has its id | `pay::a_login_whose_session_is_gone_opens_nothing_and_spends_nothing`, `pay::a_ticket_for_the_second_openid_is_for_its_own_browser_and_session`, `pay::another_browser_with_the_same_link_gets_nothing_beside_its_session` |
//! | a snapshot page's made-up openid, taken for who pays | WeChat | none is admitted to a second login, and none begins behind a snapshot's session | `pay::a_second_login_that_ends_on_a_snapshot_page_tells_of_nobody`, `pay::who_looks_at_a_snapshot_page_pays_with_nothing` |
//! | a logout that leaves who pays | own | one id for both | `pay::a_logout_ends_both_and_a_copy_of_both_is_worth_nothing`, `pay::an_operator_ends_both_by_any_of_their_names` |
//! | two logins that take turns for ever | own | rounds of the first count those of the second | `pay::browsers_that_keep_too_little_of_both_are_stopped`, `login::rounds_of_a_second_login_are_those_beside_one_session` |
//! | a path that reaches the route that tells who pays by another spelling | own | `route::Route::covers` | `pay::a_path_that_could_be_read_as_that_of_a_route_that_tells_more_is_none` |
//! | **Apps that do OAuth themselves** (the facade) | | | |
//! | an open redirect by `redirect_uri`: another origin, a user in front, a port, `\`, encodings, or the parameter twice | O2P 2017-1000070, 2020-5233; mellon 2019-3877 | `facade::RedirectUri`: the listed origin's letters, and nothing that moves it; `facade::Parameters` | `attacks::a_code_goes_to_no_address_that_is_not_listed`, `link::a_code_goes_to_a_listed_origin_alone`, `properties::a_code_goes_to_no_address_that_is_not_listed`, `attacks::a_link_that_wechat_would_not_take_gets_its_number_and_no_login` |
//! | parameters that two readers take in two ways: twice, in other letters, encoded | MAO 2026-08-12 | `facade::Parameters` refuses them | `parameters::a_known_name_stands_once_or_not_at_all`, `attacks::a_code_is_for_its_app_and_not_used_up_by_others` |
//! | a state that breaks out of the address | own | letters and digits alone | `attacks::a_link_that_wechat_would_not_take_gets_its_number_and_no_login` |
//! | a code fetched by a frame, a picture or a script of another site's page | own | navigations alone, GET alone | `attacks::nobody_but_a_page_that_is_being_opened_gets_a_code` |
//! | a session of another host or account that gets a code | APX #13387, 2026-49872 | `session::Sessions::read`, at this host and for the app's account | `attacks::a_session_of_another_host_or_account_gets_no_code` |
//! | a code used twice, at one machine or at several, one after the other or at once | chanxuehong/wechat #226 | a mark in the store before anything is given; what was given ends | `attacks::a_code_that_is_shown_again_ends_what_was_given_for_it`, `attacks::of_eight_exchanges_at_once_one_at_most_gets_tokens`, `records::of_two_who_show_a_code_at_once_one_at_most_is_given_something`, `records::who_shows_a_code_between_its_mark_and_its_grant_leaves_nothing`, `facade::a_code_is_good_once_for_all_that_share_a_redis` |
//! | a code or token while it cannot be known whether it is good | own | -1, and nothing is given | `facade::nothing_is_given_while_redis_is_away` |
//! | a code of another app, late, altered, guessed | own | its record is sealed under it, and names its app | `attacks::a_code_is_for_its_app_and_not_used_up_by_others`, `records::a_code_is_good_for_five_minutes`, `attacks::what_is_altered_cut_or_made_up_is_nothing`, `records::a_code_is_random_and_in_wechats_alphabet` |
//! | a token of another app, visitor or kind, or altered | AUT 2025-24806 | signed, and its grant names app and visitor | `attacks::what_is_altered_cut_or_made_up_is_nothing`, `records::a_token_is_for_its_app_and_what_it_is`, `token::a_token_opens_as_what_it_is_with_nothing_changed` |
//! | a code or token that outlives its visitor's session | CS 2024-21492 | `session::Sessions::still_holds`, each time | `attacks::a_logout_and_an_operators_word_end_codes_and_tokens`, `records::whoever_ended_the_session_ended_the_tokens`, `records::a_token_lives_no_longer_than_its_session`, `settings::another_plan_takes_apps_away_and_brings_others` |
//! | secrets guessed, or told by the time that comparing takes | TRF 2026-32595, -41263 | `secret::Secret::is`; `limits::Logins::count_guess` | `attacks::guessing_ends_after_a_minutes_worth`, `secret::a_secret_is_the_same_as_itself_alone` |
//! | an app locked out by what strangers make its server show | own | wrong secrets alone are counted, by app and address | `attacks::what_strangers_feed_an_app_locks_it_out_of_nothing` |
//! | the real secret or WeChat's tokens with an app; a virtual appid taken for a real one | own | `config` refuses both; nothing of WeChat's is known to `facade` | `settings::a_facade_that_could_not_be_meant_is_refused`, `attacks::nothing_of_wechats_own_leaves` |
//! | a profile or a unionid for an app that asked for less | own | the code's scope, not the session's | `facade::a_profile_is_what_wechat_told_with_the_scope_for_it_alone` |
//! | a secret, code, token or openid in the log or the store | POM 2024-39315, 2021-29651 | no query in the log; records are sealed | `settings::the_log_names_app_and_number_and_nothing_that_was_sent` |
//! | a visitor sent round by an app, or by cookies that do not stick | Vouch #42 and many | codes are counted for each visitor and app; the login's own limits | `ways::an_app_that_sends_its_visitor_round_is_stopped`, `ways::a_browser_that_keeps_too_little_ends_on_a_page` |
//! | a memory store that one visitor fills, so that nobody else gets a code or what was used up is taken again | own | codes are counted by visitor and by address; who is new is kept; marks have their own room, and without room nobody is the first | `ways::an_app_that_sends_its_visitor_round_is_stopped`, `ways::an_address_gets_as_many_codes_as_it_may_start_logins`, `memory::a_full_store_takes_newcomers_and_forgets_no_mark`, `marks::a_mark_stays_for_its_time_and_what_has_no_room_is_not_taken` |
//! | a request at the facade's host that reaches an app, or a proxy that forwards it | own | the host has no route, whatever routes say | `ways::nothing_else_is_at_the_facades_host_but_what_is_everywhere`, `ways::a_proxy_that_asks_is_told_that_the_facade_is_not_its_to_forward` |
//! | **Secrets and the process** | | | |
//! | tokens read from a store's disk, or put under another session | own | an AEAD, a key for each session, the visitor inside | `signing::a_record_opens_under_its_own_name_and_context_alone` |
//! | an access token for whoever asks for the header | own | `identity::strip`, `identity::lend` on routes that say so | `tokens::an_app_gets_the_access_token_where_the_route_says_so_and_nowhere_else` |
//! | a secret, token or code in a log, an address, an answer | POM 2024-39315, 2021-29651; TRF 2022-23469, 2026-41181 | `secret::Secret`, `logging`, texts that are `&'static str` | `secrets::nothing_secret_is_said_at_any_level`, `endpoints::me_tells_visitors_who_they_are`, `wechat::an_error_keeps_number_and_rid_and_loses_secrets` |
//! | a corp's token in a log, an answer, a store | own | `wechat::corp`: in memory, in requests to WeCom's api | `secrets::nothing_secret_is_said_at_any_level` |
//! | an openid in a log, or found by trying all against what stands for it | own | `signing::Keyring::name_of`, under a key | `trace::a_line_says_what_a_request_was_and_not_who_it_was`, `signing::a_visitors_name_is_the_first_keys` |
//! | a secret, code or openid in a span | own | `gateway::record` has the path without its query | `trace::spans_reach_a_collector_with_their_parents_and_without_secrets` |
//! | a collector of spans that hangs, and with it the gateway | own | `telemetry::export`: a bounded queue that nobody waits for | `trace::a_collector_that_hangs_or_is_gone_keeps_nobody_waiting`, `export::a_collector_that_hangs_costs_spans_and_nobody_waits` |
//! | a secret in a core dump, or read by another process | own | `process::keep_memory_private`; secrets are wiped | `command_line::the_process_keeps_its_memory_to_itself_and_may_open_many_files` |
//! | an answer of WeChat's without end | TRF 2026-26998 | 64 KiB, ten seconds | `login::a_code_that_wechat_never_takes_is_tried_three_times`, `wechat::what_is_not_wechats_is_garbled` |
//! | a session in an answer that a cache shares | Pingora 2026-2836, 2025-4366 | nothing is cached; `response_filter` renews in no shared answer | `visit::a_session_is_renewed_under_a_new_key_and_at_half_its_idle_time`, `gateway::an_answer_that_caches_may_share_is_known` |
//! | an openid, a path or whatever else a visitor chose in a metric, or so many of them that memory ends | own | labels of `metrics` are names of the file, words of the program, numbers of WeChat's, and of those a number | `metrics::no_label_is_chosen_by_a_visitor` |
//! | script in the status page | own | `html::escape`, a policy without script | `status::a_change_that_is_not_served_is_told_as_text`, `status::the_page_stands_alone_and_runs_nothing` |
//! | admin paths for visitors | POM 2022-24797, 2024-47616 | `admin_listen`, off unless it is set; who orders must know the session key | `proxying::health_is_told_to_operators_and_not_to_visitors`, `metrics::numbers_and_pages_of_operators_are_not_for_visitors`, `revocation::nobody_but_an_operator_ends_sessions` |
//! | a setting that is ignored, a file that breaks the parser | O2P 2021-21411; CS 2024-21493 | unknown keys are mistakes; fuzzed | `command_line::an_unknown_key_is_told_with_those_that_exist`, `corpus::the_corpus_holds` |
//! | cookies too large for the app or the browser | ENV #27875, O2P #388 | one session below 1 KiB; other gateway cookies are hidden | `cookies::the_app_gets_its_own_cookies_byte_for_byte`, `login::a_target_too_long_for_a_cookie_loses_its_query_and_not_the_visitor` |
//!
//! Not here, for what they need does not exist here: policies on claims (POM
//! 2021-41230), bearer tokens of other
//! issuers (MAO GHSA-wcvh), client certificates (CAD 2026-27586).

pub mod access_log;
pub mod admin;
pub mod assembly;
pub mod callback;
pub mod circuit;
pub mod config;
pub mod connection;
pub mod cookies;
pub mod demo;
pub mod doctor;
pub mod endpoints;
pub mod explain;
pub mod facade;
pub mod gateway;
pub mod handover;
pub mod html;
pub mod identity;
pub mod limits;
pub mod logging;
pub mod login;
pub mod metrics;
pub mod origin;
pub mod process;
pub mod reload;
pub mod reply;
pub mod request;
pub mod revocation;
pub mod route;
pub mod secret;
pub mod server;
pub mod session;
pub mod signing;
pub mod signon;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod tokens;
pub mod upstream;
pub mod wechat;
