"""Logs in at a WeChat simulator with wechatpy, an SDK that knows nothing of it.

What passes here was written against the real WeChat. Needs `wechatpy==1.8.18`
and `cryptography` from PyPI.

    wechatpy_sdk.py BASE_URL APP_ID APP_SECRET REDIRECT_URI WEBSITE_APP_ID

Exits with 1 and one line on the first mismatch.
"""

import html
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

from wechatpy.exceptions import WeChatOAuthException
from wechatpy.oauth import WeChatOAuth

STATE = "State123"
WECHAT = "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 MicroMessenger/8.0.49 Language/zh_CN"


def expect(truth, what):
    if not truth:
        sys.exit(f"wechatpy_sdk: {what}")


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def get(url, agent=WECHAT):
    """Status, headers and text, redirects not followed, proxies not used."""
    opener = urllib.request.build_opener(NoRedirects, urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url.split("#")[0], headers={"User-Agent": agent})
    try:
        answer = opener.open(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.headers, answer.read().decode("utf-8")


def code_from(answer, redirect_uri, what):
    status, headers, text = answer
    expect(status == 302, f"{what}: 302 expected, got {status}: {text[:200]}")
    location = headers["Location"]
    expect(location.startswith(redirect_uri), f"{what}: led elsewhere than the callback")
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)
    expect(query.get("state") == [STATE], f"{what}: state came back changed")
    expect(len(query.get("code", [])) == 1, f"{what}: no code, or several")
    return query["code"][0]


def sdk(args, scope):
    base, app_id, secret, redirect_uri = args
    oauth = WeChatOAuth(app_id, secret, redirect_uri, scope, STATE)
    oauth._http.trust_env = False  # no proxy between us and loopback
    return oauth


def expect_errcode(errcode, call, what):
    try:
        call()
    except WeChatOAuthException as error:
        expect(error.errcode == errcode, f"{what}: errcode {errcode} expected, got {error.errcode}")
    else:
        expect(False, f"{what}: errcode {errcode} expected, but it passed")


def silent_login(base, args):
    oauth = sdk(args, "snsapi_base")
    code = code_from(get(oauth.authorize_url), args[3], "snsapi_base")
    answer = oauth.fetch_access_token(code)
    expect(re.fullmatch(r"o[A-Za-z0-9_-]{27}", answer["openid"]), "snsapi_base: no openid")
    expect(answer["scope"] == "snsapi_base", "snsapi_base: another scope came back")
    expect("unionid" not in answer, "snsapi_base: a unionid came without being asked for")
    expect_errcode(40163, lambda: oauth.fetch_access_token(code), "the same code again")
    expect_errcode(48001, oauth.get_user_info, "a profile without its scope")


def login_with_profile(base, args):
    oauth = sdk(args, "snsapi_userinfo")
    status, _, page = get(oauth.authorize_url)
    expect(status == 200 and "允许" in page, "snsapi_userinfo: no consent page")
    links = [html.unescape(link) for link in re.findall(r'href="(/simulator/choose/[^"]+)"', page)]
    expect(len(links) == 2, f"snsapi_userinfo: allow and refuse expected, got {len(links)} links")
    refused = urllib.parse.urlsplit(get(base + links[1])[1]["Location"])
    expect(refused.query == f"state={STATE}", "refusing: state alone must come back")
    code = code_from(get(base + links[0]), args[3], "snsapi_userinfo")
    answer = oauth.fetch_access_token(code)
    profile = oauth.get_user_info()
    expect(profile["openid"] == answer["openid"], "profile: another openid")
    expect(profile["nickname"], "profile: no nickname")
    expect(profile["unionid"] == answer["unionid"], "profile: another unionid")
    expect(oauth.check_access_token() is True, "check: a good token is not good")
    oauth.refresh_access_token(oauth.refresh_token)
    expect(oauth.open_id == answer["openid"], "refresh: another openid")
    expect(oauth.check_access_token() is True, "check: a refreshed token is not good")
    expect_errcode(40030, lambda: oauth.refresh_access_token("none"), "a wrong refresh token")


def desktop_login(base, args):
    oauth = sdk(args, "snsapi_login")
    status, _, page = get(oauth.qrconnect_url, agent="Mozilla/5.0 (X11; Linux x86_64)")
    links = re.findall(r'href="(/simulator/choose/qrconnect/o[^"]+)"', page)
    expect(status == 200 and links, "qrconnect: no visitors to choose from")
    code = code_from(get(base + html.unescape(links[0])), args[3], "qrconnect")
    expect(oauth.fetch_access_token(code)["scope"] == "snsapi_login", "qrconnect: another scope")


def main():
    if len(sys.argv) != 6:
        sys.exit("usage: wechatpy_sdk.py BASE_URL APP_ID APP_SECRET REDIRECT_URI WEBSITE_APP_ID")
    *args, website = sys.argv[1:]
    at_the_website = [args[0], website, *args[2:]]
    base = args[0].rstrip("/")
    WeChatOAuth.API_BASE_URL = base + "/"
    WeChatOAuth.OAUTH_BASE_URL = base + "/connect/"
    for step, account in ((silent_login, args), (login_with_profile, args), (desktop_login, at_the_website)):
        step(base, account)
        print(f"wechatpy_sdk: {step.__name__}: ok")


if __name__ == "__main__":
    try:
        main()
    except WeChatOAuthException as error:
        sys.exit(f"wechatpy_sdk: refused: errcode {error.errcode}: {error.errmsg}")
