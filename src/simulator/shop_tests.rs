//! The shop over real sockets.

use super::super::test_client::{Answer, request};
use super::*;

async fn shop() -> Shop {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Shop::start(listener).await.unwrap()
}

async fn get(shop: &Shop, path: &str, headers: &[&str]) -> Answer {
    request(shop.addr(), "GET", path, headers, "").await
}

#[tokio::test]
async fn nobody_is_served_without_the_header() {
    let shop = shop().await;
    for (method, path) in [("GET", "/"), ("GET", "/orders"), ("POST", "/addOrder")] {
        for headers in [&[][..], &["X-WeChat-OpenId:"]] {
            let answer = request(shop.addr(), method, path, headers, "item=tea").await;
            assert_eq!((answer.status, answer.body.as_str()), (403, "no visitor"));
        }
    }
}

#[tokio::test]
async fn an_order_belongs_to_the_headers_openid() {
    let shop = shop().await;
    let order = async |openid: &str, more: &str| {
        let openid = format!("X-WeChat-OpenId: {openid}");
        request(
            shop.addr(),
            "POST",
            "/addOrder",
            &[&openid, more],
            "item=tea",
        )
        .await
    };
    let json = order("oAlice", "Accept: application/json").await;
    assert_eq!(
        json.body,
        r#"{"code":0,"data":{"openid":"oAlice","orderNo":"WX00000001"}}"#
    );
    let html = order("oBob", "Accept: text/html").await;
    assert!(html.body.contains("WX00000002") && html.body.contains("oBob"));
    let theirs = get(&shop, "/orders", &["X-WeChat-OpenId: oAlice"]).await;
    assert!(theirs.body.contains("WX00000001") && !theirs.body.contains("WX00000002"));
    let headers = ["X-WeChat-OpenId: o", "X-Requested-With: XMLHttpRequest"];
    let unknown = request(shop.addr(), "POST", "/addOrder", &headers, "item=gold").await;
    assert_eq!(unknown.body, r#"{"code":1,"msg":"no such item"}"#);
}

#[tokio::test]
async fn what_headers_say_is_decoded_and_escaped() {
    let shop = shop().await;
    let headers = [
        "X-WeChat-OpenId: o<script>",
        "X-WeChat-Nickname: %E5%B0%8F%E6%98%8E%3Cb%3E",
        "X-WeChat-Avatar: https://a.example/\"><script>/132",
    ];
    let answer = get(&shop, "/", &headers).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("小明&lt;b&gt;"), "{}", answer.body);
    assert!(answer.body.contains("o&lt;script&gt;"));
    assert!(!answer.body.contains("<script"));
    let headers = ["X-WeChat-OpenId: o", "X-WeChat-Avatar: javascript:x"];
    assert!(!get(&shop, "/", &headers).await.body.contains("javascript"));
}

#[tokio::test]
async fn pay_needs_no_visitor() {
    let shop = shop().await;
    let answer = request(shop.addr(), "POST", "/pay/notify", &[], "<xml/>").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "SUCCESS"));
}

#[test]
fn orders_are_bounded() {
    let orders = Orders::default();
    for _ in 0..MOST_ORDERS + 5 {
        orders.place("o", &GOODS[0]);
    }
    let kept = orders.of("o");
    assert_eq!(kept.len(), MOST_ORDERS);
    assert_eq!(kept[0].number, "WX00000006");
}
