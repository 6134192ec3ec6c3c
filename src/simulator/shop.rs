//! A small shop that knows nothing of WeChat: the legacy app behind the
//! gateway in `wxgate demo`.
//!
//! What always holds: it believes one header, `X-WeChat-OpenId`, which is why
//! nothing but the gateway may reach such an app. Orders are bounded, and
//! everything it shows is escaped.
//!
//! | path | what it is |
//! |---|---|
//! | `GET /` | the goods |
//! | `POST /addOrder` | form field `item`: places an order for the header's openid; JSON for those who ask for it |
//! | `GET /orders` | the visitor's orders |
//! | `POST /pay/notify` | what WeChat Pay calls: no login, reads the raw body, says `SUCCESS` |

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use percent_encoding::percent_decode;
use serde_json::json;
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::html::{escape, page};
use super::socket::{Served, lock};

/// How many orders the shop remembers.
const MOST_ORDERS: usize = 1000;

struct Good {
    id: &'static str,
    name: &'static str,
    price: &'static str,
}

const GOODS: [Good; 3] = [
    Good {
        id: "tea",
        name: "🍵 龙井茶 Longjing tea",
        price: "¥ 88.00",
    },
    Good {
        id: "mooncake",
        name: "🥮 月饼 Mooncakes",
        price: "¥ 128.00",
    },
    Good {
        id: "umbrella",
        name: "🌂 油纸伞 Paper umbrella",
        price: "¥ 56.00",
    },
];

/// A running shop; serves until stopped or dropped.
pub struct Shop {
    served: Served,
}

impl Shop {
    /// Opens the shop on `listener`.
    pub async fn start(listener: TcpListener) -> io::Result<Shop> {
        let router = Router::new()
            .route("/", get(goods))
            .route("/addOrder", post(add_order))
            .route("/orders", get(orders))
            .route("/pay/notify", post(pay_notify))
            .with_state(Arc::new(Orders::default()));
        let served = Served::start(listener, router)?;
        Ok(Shop { served })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.served.addr()
    }

    /// Closes the listener and breaks every connection.
    pub async fn stop(self) {
        self.served.stop().await;
    }
}

#[derive(Default)]
struct Orders(Mutex<OrderBook>);

#[derive(Default)]
struct OrderBook {
    orders: VecDeque<Order>,
    last: u64,
}

#[derive(Clone)]
struct Order {
    number: String,
    openid: String,
    item: &'static str,
}

impl Orders {
    fn place(&self, openid: &str, good: &Good) -> Order {
        let mut book = lock(&self.0);
        book.last += 1;
        let order = Order {
            number: format!("WX{:08}", book.last),
            openid: openid.to_owned(),
            item: good.name,
        };
        if book.orders.len() == MOST_ORDERS {
            book.orders.pop_front();
        }
        book.orders.push_back(order.clone());
        order
    }

    fn of(&self, openid: &str) -> Vec<Order> {
        let book = lock(&self.0);
        let theirs = book.orders.iter().filter(|order| order.openid == openid);
        theirs.cloned().collect()
    }
}

async fn goods(headers: HeaderMap) -> Response {
    let Some(openid) = openid(&headers) else {
        return no_visitor();
    };
    let goods: String = GOODS
        .iter()
        .map(|good| {
            format!(
                "<tr><td>{}<br><small>{}</small></td><td><form method=\"post\" action=\"/addOrder\">\
                 <button name=\"item\" value=\"{}\">下单 Order</button></form></td></tr>",
                escape(good.name),
                escape(good.price),
                escape(good.id)
            )
        })
        .collect();
    let body = format!(
        "<h1>老字号小店 The Old Shop</h1>{}\
         <div class=\"card\"><table>{goods}</table></div>\
         <p><a href=\"/orders\">我的订单 My orders</a></p>",
        greeting(&headers, &openid)
    );
    page("老字号小店", "", &body)
}

async fn add_order(State(orders): State<Arc<Orders>>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(openid) = openid(&headers) else {
        return no_visitor();
    };
    let item = form_urlencoded::parse(&body).find(|(name, _)| name == "item");
    let good = item.and_then(|(_, id)| GOODS.iter().find(|good| good.id == id));
    let wants_json = wants_json(&headers);
    let Some(good) = good else {
        return match wants_json {
            true => Json(json!({ "code": 1, "msg": "no such item" })).into_response(),
            false => (StatusCode::BAD_REQUEST, "no such item").into_response(),
        };
    };
    let order = orders.place(&openid, good);
    if wants_json {
        let data = json!({ "orderNo": order.number, "openid": order.openid });
        return Json(json!({ "code": 0, "data": data })).into_response();
    }
    let body = format!(
        "<h1>下单成功 Thank you</h1><div class=\"card\"><table>\
         <tr><th>订单号 Order</th><td id=\"order\">{}</td></tr>\
         <tr><th>商品 Item</th><td>{}</td></tr>\
         <tr><th>openid</th><td id=\"openid\"><code>{}</code></td></tr></table></div>\
         <p><a href=\"/\">继续逛 Back to the shop</a> · <a href=\"/orders\">我的订单 My orders</a></p>",
        escape(&order.number),
        escape(order.item),
        escape(&order.openid)
    );
    page("下单成功", "", &body)
}

async fn orders(State(orders): State<Arc<Orders>>, headers: HeaderMap) -> Response {
    let Some(openid) = openid(&headers) else {
        return no_visitor();
    };
    let rows: String = orders
        .of(&openid)
        .iter()
        .rev()
        .map(|order| {
            let (number, item) = (escape(&order.number), escape(order.item));
            format!("<tr><td>{number}</td><td>{item}</td></tr>")
        })
        .collect();
    let rows = match rows.as_str() {
        "" => "<tr><td class=\"quiet\">还没有订单 No orders yet</td></tr>",
        rows => rows,
    };
    let body = format!(
        "<h1>我的订单 My orders</h1>{}<div class=\"card\"><table>{rows}</table></div>\
         <p><a href=\"/\">继续逛 Back to the shop</a></p>",
        greeting(&headers, &openid)
    );
    page("我的订单", "", &body)
}

/// The body is taken whole and raw, as checking its signature would need.
async fn pay_notify(body: Bytes) -> Response {
    tracing::info!(target: "wxgate::shop", bytes = body.len(), "pay notification");
    "SUCCESS".into_response()
}

/// Who the gateway says is visiting.
fn openid(headers: &HeaderMap) -> Option<String> {
    text(headers, "x-wechat-openid").filter(|openid| !openid.is_empty())
}

fn no_visitor() -> Response {
    (StatusCode::FORBIDDEN, "no visitor").into_response()
}

fn greeting(headers: &HeaderMap, openid: &str) -> String {
    let avatar = text(headers, "x-wechat-avatar")
        .filter(|avatar| avatar.starts_with("http://") || avatar.starts_with("https://"))
        .map_or_else(String::new, |avatar| {
            format!("<img class=\"face\" alt=\"\" src=\"{}\"> ", escape(&avatar))
        });
    let nickname = headers
        .get("x-wechat-nickname")
        .map(|encoded| percent_decode(encoded.as_bytes()).decode_utf8_lossy())
        .map_or_else(String::new, |nickname| {
            format!("，<bdi id=\"nickname\">{}</bdi>", escape(&nickname))
        });
    format!(
        "<p>{avatar}欢迎 Welcome{nickname}<br><small>openid <code id=\"openid\">{}</code></small></p>",
        escape(openid)
    )
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accepts = text(headers, ACCEPT.as_str()).is_some_and(|accept| accept.contains("json"));
    accepts || headers.contains_key("x-requested-with")
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .map(HeaderValue::as_bytes)
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
#[path = "shop_tests.rs"]
mod tests;
