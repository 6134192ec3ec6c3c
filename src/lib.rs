//! wxgate stands in front of web apps that cannot be changed and gives them
//! WeChat login. A visitor without a session is sent through WeChat's web page
//! authorisation (网页授权); the code is exchanged here, on the server; from
//! then on every request that reaches the app carries `X-WeChat-OpenId`.
//!
//! ```text
//! listener → which host and path? (route, decided once)
//!   /.wxgate/…                     → the gateway's own endpoints
//!   auth = "none"                  → strip identity headers → app
//!   session cookie good            → strip, vouch, forward  → app
//!   auth = "optional", no session  → strip → app
//!   a navigation, inside WeChat    → remember the target, 302 to WeChat
//!   a navigation, elsewhere        → a page with a QR code of this address
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
//! 5. A logged-in request makes no network call but the one to the app.
//! 6. One machine needs nothing but the binary and one file.
//!
//! # Where to begin
//!
//! [`gateway`] has the phases of a request, and its `decide` the one decision.
//! The evidence is in the types: a [`wechat::Code`] is lent only to whoever
//! shows the state, a [`wechat::Grant`] comes only from an exchange, a
//! [`session::Session`] only from a grant or a verified cookie, a permit only
//! from the decision, and [`identity::vouch`] takes nothing but a session.
//!
//! # The order
//!
//! A module uses only what stands below it; a test keeps it so.
//!
//! | module | what it is |
//! |---|---|
//! | `demo` | simulator, shop and gateway on loopback |
//! | `server` | listeners, drain, admin paths |
//! | `logging` | which lines are written, and where |
//! | `config` | `gateway.toml` as values that cannot be wrong |
//! | `gateway` | the request's way: phases, decision, answers |
//! | `callback` | back from WeChat: check, exchange once, open a session |
//! | `endpoints` | the gateway's own paths: login, logout, me, openid |
//! | `login` | no session: remember where to, send to WeChat |
//! | `identity` | `X-WeChat-*`: strip, vouch |
//! | `session` | a visitor WeChat vouched for: open, read, renew, end |
//! | `route` | host and path → route, decided once |
//! | `connection` | a visitor's connection: its place, and how slowly a header may come |
//! | `upstream` | the app: address, limits, forwarded headers |
//! | `request` | a request as the gateway reads it |
//! | `limits` | how much one address, and all together, may ask for |
//! | `access_log` | one line a request |
//! | `reply` | the gateway's own answers and pages |
//! | `wechat` | WeChat's protocol, and nothing of the gateway |
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
//! | attack | stopped by | test |
//! |---|---|---|
//! | an identity header sent by the client, in any spelling an app may fold | `identity::strip`, on every route, before `vouch` | `hostile::no_spelling_of_an_identity_reaches_the_app`, `identity::every_spelling_that_an_app_may_fold_is_known` |
//! | `Connection: X-WeChat-OpenId`, so that a proxy drops what was vouched | `vouch` in `upstream_request_filter` alone | `hostile::the_connection_header_takes_nothing_of_ours_away` |
//! | an identity in a trailer | Pingora forwards none | `hostile::request_trailers_stay_behind` |
//! | a forged, changed, moved or repeated session cookie | `signing::Keyring::open`, `session::Sessions::read` | `hostile::a_tampered_or_moved_session_is_none`, `signing::every_changed_character_is_refused`, `session::a_session_holds_at_its_host_and_account_alone` |
//! | a login cookie used as a session | the purpose inside the signature | `session::a_login_is_no_session` |
//! | a session that never ends | idle and absolute limits | `session::idle_and_absolute_limits_end_it_and_half_the_idle_time_renews_it` |
//! | a login cookie planted from another host of the domain | `login::Login::listed`, by a cookie that is bound to this host | `login::a_login_cookie_that_another_host_planted_logs_nobody_in` |
//! | guessing codes at the account's cost | `callback::Callbacks` counts them | `login::one_login_costs_three_calls_at_most` |
//! | login CSRF, session fixation: a callback link sent to another person | `login::carried`, then `wechat::Answer::for_login`, before the code is spent | `login::another_browser_with_the_same_link_gets_nothing`, `login::a_state_must_be_the_cookies_own` |
//! | a code spent twice by doubled callbacks | `callback::Callbacks`: one flight for each (login, code) | `login::eight_callbacks_at_once_make_one_call_and_eight_redirects` |
//! | `code` or `state` twice in a callback | `wechat::callback` takes them if equal | `wechat::repeated_parameters_must_agree` |
//! | an endless login loop | attempts in the state, rounds in the login cookies | `login::a_browser_without_cookies_is_stopped_after_two_rounds`, `login::a_session_that_does_not_stick_is_stopped_after_four_rounds`, `login::a_code_that_wechat_never_takes_is_tried_three_times`, `login::a_second_cookie_of_the_same_name_is_no_loop` |
//! | an open redirect by `login?to=` or by an odd path | `origin::ReturnTo`, made by the WHATWG parser | `origin::a_parameter_never_leaves_the_origin`, `hostile::a_way_back_never_leaves_the_host`, `hostile::a_page_leads_to_no_other_host` |
//! | a redirect built from `X-Forwarded-Host` | `origin::PublicOrigin` comes from the file alone | `hostile::a_way_back_never_leaves_the_host` |
//! | a path that is public to the gateway and private to the app | `route::Routes::decide`: none when a reading is stricter | `route::a_path_that_could_be_a_stricter_routes_is_not_decided`, `hostile::a_path_that_looks_public_is_not` |
//! | an unusual method past the lock | the decision does not look at it | `hostile::every_method_needs_the_session` |
//! | request smuggling, two hosts, absolute targets | `request::Asked::read` | `hostile::a_request_that_can_be_read_in_two_ways_is_refused`, `hostile::bytes_behind_a_request_are_no_second_one` |
//! | forged `X-Forwarded-*` | `upstream::TrustedProxies`, from right to left | `hostile::what_a_client_says_of_its_way_is_rebuilt`, `hostile::what_a_proxy_passes_on_unknowing_is_not_believed`, `upstream::proxies_are_walked_from_right_to_left_as_far_as_they_are_trusted` |
//! | a WebSocket opened by another site's page | `request::Asked::is_foreign_socket` | `hostile::a_websocket_for_another_sites_page_gets_no_visitor` |
//! | targets and headers without end | `request::Asked::read` | `hostile::too_much_is_refused_before_it_is_read`, `route::a_long_path_is_decided_at_once` |
//! | an app that answers in the gateway's name | `upstream_response_filter` | `proxying::an_app_sets_its_own_cookies_and_none_of_ours` |
//! | an app that switches protocols uninvited | `upstream_response_filter` | `hostile::an_app_cannot_switch_protocols_uninvited` |
//! | a session in an answer that a cache shares | `response_filter` renews in none such | `visit::a_session_is_renewed_under_a_new_key_and_at_half_its_idle_time`, `gateway::an_answer_that_caches_may_share_is_known` |
//! | a secret, token or code in a log or answer | `secret::Secret`, `logging`, texts that are `&'static str` | `secrets::nothing_secret_is_said_at_any_level` |
//! | script in a page | `html::escape`, a policy without script | `reply::what_a_visitor_brings_is_escaped` |

pub mod access_log;
pub mod callback;
pub mod config;
pub mod connection;
pub mod cookies;
pub mod demo;
pub mod endpoints;
pub mod gateway;
pub mod html;
pub mod identity;
pub mod limits;
pub mod logging;
pub mod login;
pub mod origin;
pub mod process;
pub mod reply;
pub mod request;
pub mod route;
pub mod secret;
pub mod server;
pub mod session;
pub mod signing;
pub mod simulator;
pub mod upstream;
pub mod wechat;
