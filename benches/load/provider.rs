//! An OpenID provider, as small as one can be: it asks nobody anything, and tells
//! the id token after the time that WeChat is given to answer.
//!
//! It keeps nothing: the code that it gives is the nonce that it was asked with.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

type Fields = HashMap<String, String>;

struct Provider {
    issuer: String,
    key: hmac::Key,
    delay: Duration,
}

pub async fn serve(listen: SocketAddr, secret: &str, delay: Duration) {
    let listener = TcpListener::bind(listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    println!("listening on {address}");
    let provider = Provider {
        issuer: format!("http://{address}"),
        key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        delay,
    };
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .with_state(Arc::new(provider));
    axum::serve(listener, router).await.unwrap();
}

async fn discovery(State(provider): State<Arc<Provider>>) -> impl IntoResponse {
    let issuer = &provider.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["HS256"],
    }))
}

async fn authorize(Query(asked): Query<Fields>) -> impl IntoResponse {
    let mut back = Url::parse(&asked["redirect_uri"]).unwrap();
    back.query_pairs_mut()
        .append_pair("code", &asked["nonce"])
        .append_pair("state", &asked["state"]);
    (StatusCode::FOUND, [(LOCATION, back.to_string())])
}

async fn token(
    State(provider): State<Arc<Provider>>,
    Form(asked): Form<Fields>,
) -> impl IntoResponse {
    tokio::time::sleep(provider.delay).await;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = json!({
        "iss": provider.issuer, "sub": "oVisitor", "aud": "load", "nonce": asked["code"],
        "iat": now, "exp": now + 86400,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256" })), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&provider.key, signed.as_bytes()));
    Json(json!({
        "access_token": "token", "token_type": "Bearer", "expires_in": 86400,
        "id_token": format!("{signed}.{signature}"),
    }))
}
