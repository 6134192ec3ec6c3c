// wechat-oauth, an SDK for Node that was written against the real WeChat, as an app
// behind the facade uses it: its hosts are fixed, so that they are replaced where a
// request leaves it and where a link does. Nothing else of it is changed.
//
//     node wechat_oauth.js BASE APP_ID SECRET link REDIRECT STATE SCOPE
//     node wechat_oauth.js BASE APP_ID SECRET login CODE
//
// Prints one line of JSON.
'use strict';

const OAuth = require('wechat-oauth');

const [base, appId, secret, step, ...rest] = process.argv.slice(2);
const moved = (url) => url.replace(/^https:\/\/(api|open)\.weixin\.qq\.com/, base);
const request = OAuth.prototype.request;
OAuth.prototype.request = function (url, options, callback) {
    return request.call(this, moved(url), options, callback);
};
const sdk = new OAuth(appId, secret);

const call = (name, ...given) =>
    new Promise((resolve, reject) => {
        sdk[name](...given, (error, result) => (error ? reject(error) : resolve(result)));
    });

async function login(code) {
    const { data } = await call('getAccessToken', code);
    const profile = await call('getUser', { openid: data.openid, lang: 'zh_CN' });
    const renewed = (await call('refreshAccessToken', data.refresh_token)).data;
    const checked = await call('verifyToken', renewed.openid, renewed.access_token);
    const again = await call('getAccessToken', code).then(
        () => null,
        (error) => error.code,
    );
    const after = await call('verifyToken', renewed.openid, renewed.access_token).then(
        () => null,
        (error) => error.code,
    );
    return { data, profile, renewed, checked, again, after };
}

const work =
    step === 'link' ? Promise.resolve(moved(sdk.getAuthorizeURL(...rest))) : login(rest[0]);
work.then(
    (result) => console.log(JSON.stringify(result)),
    (error) => {
        console.error(`wechat_oauth: ${error.name}: ${error.code} ${error.message}`);
        process.exit(1);
    },
);
