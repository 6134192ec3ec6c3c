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
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

type Fields = HashMap<String, String>;

struct Provider {
    issuer: String,
    key: EcdsaKeyPair,
    delay: Duration,
}

pub async fn serve(listen: SocketAddr, delay: Duration) {
    let listener = TcpListener::bind(listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    println!("listening on {address}");
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ES256, &random).unwrap();
    let provider = Provider {
        issuer: format!("http://{address}"),
        key: EcdsaKeyPair::from_pkcs8(&ES256, key.as_ref(), &random).unwrap(),
        delay,
    };
    let router = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/keys", get(keys))
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
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

async fn keys(State(provider): State<Arc<Provider>>) -> impl IntoResponse {
    // A point of the curve, as 4, x and y.
    let (x, y) = provider.key.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    Json(
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "1", "x": x, "y": y }] }),
    )
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
    let signed = format!(
        "{}.{}",
        part(&json!({ "alg": "ES256", "kid": "1" })),
        part(&claims)
    );
    let signature = provider.key.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signature.unwrap());
    Json(json!({
        "access_token": "token", "token_type": "Bearer", "expires_in": 86400,
        "id_token": format!("{signed}.{signature}"),
    }))
}
