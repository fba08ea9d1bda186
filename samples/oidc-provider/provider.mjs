// An OpenID provider for this machine: two people, access tokens that live a minute, refresh tokens that rotate,
// revocation. It keeps everything in memory: stopped and started again, it has forgotten what was agreed to.
import http from 'node:http';
import Provider from 'oidc-provider';
import { accounts, consentPage, loginPage, messagePage } from './pages.mjs';

const port = Number(process.env.PORT ?? 7080);
const issuer = `http://127.0.0.1:${port}`;
const client = {
  client_id: process.env.CLIENT_ID ?? 'sample-client',
  client_secret: process.env.CLIENT_SECRET ?? 'sample-secret-of-this-machine-only',
  redirect_uris: [process.env.REDIRECT_URI ?? 'http://127.0.0.1:7071/oauth/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_basic',
};

const provider = new Provider(issuer, {
  clients: [client],
  scopes: ['openid', 'offline_access'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'locale', 'zoneinfo', 'updated_at'],
    email: ['email', 'email_verified'],
  },
  findAccount: (_, id) => accounts[id] && { accountId: id, claims: () => ({ sub: id, ...accounts[id] }) },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  renderError: (ctx, out) => {
    ctx.type = 'html';
    ctx.body = messagePage(`${out.error}: ${out.error_description ?? 'nothing more is known'}`);
  },
  cookies: { keys: [crypto.randomUUID()] },
  ttl: {
    AccessToken: Number(process.env.ACCESS_TOKEN_SECONDS ?? 60),
    AuthorizationCode: 60,
    Grant: 14 * 24 * 3600,
    IdToken: 600,
    Interaction: 600,
    RefreshToken: 14 * 24 * 3600,
    Session: 3600,
  },
});

// Who is watching a refresh sees it here.
provider.on('grant.success', (ctx) => console.log(`token for ${ctx.oidc.account?.accountId}: ${ctx.oidc.params.grant_type}`));
provider.on('grant.error', (ctx, error) => console.log(`no token: ${error.error_description ?? error.message}`));
provider.on('grant.revoked', () => console.log('a grant was revoked'));

const page = (res, html) => {
  res.setHeader('content-type', 'text/html; charset=utf-8');
  res.setHeader('cache-control', 'no-store');
  res.setHeader('x-frame-options', 'DENY');
  res.end(html);
};

const read = async (req) => {
  let body = '';
  for await (const chunk of req) {
    body += chunk;
    if (body.length > 10_000) throw new Error('the form is too long');
  }
  return new URLSearchParams(body);
};

// The two steps in which a person takes part. Which one it is, and whose, says the cookie of the interaction.
const interact = async (req, res) => {
  const { uid, prompt, params, session, grantId } = await provider.interactionDetails(req, res);
  if (req.method !== 'POST') {
    return page(res, prompt.name === 'login' ? loginPage(uid) : consentPage(uid, accounts[session.accountId], params.scope));
  }
  const form = await read(req);
  if (form.get('answer') === 'refuse') {
    const error = { error: 'access_denied', error_description: 'the person refused' };
    return provider.interactionFinished(req, res, error, { mergeWithLastSubmission: false });
  }
  if (prompt.name === 'login') {
    const accountId = form.get('account');
    if (!accounts[accountId]) return page(res, loginPage(uid));
    return provider.interactionFinished(req, res, { login: { accountId } }, { mergeWithLastSubmission: false });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const consent = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(req, res, consent, { mergeWithLastSubmission: true });
};

const serve = provider.callback();
const server = http.createServer((req, res) => {
  if (!req.url.startsWith('/interaction/')) return serve(req, res);
  return interact(req, res).catch((error) => {
    res.statusCode = 400;
    page(res, messagePage(error.message));
  });
});
server.on('error', (error) => {
  console.error(`the provider cannot listen at ${issuer}: ${error.message}; set PORT`);
  process.exit(1);
});
server.listen(port, '127.0.0.1', () => console.log(`the provider serves on ${issuer}`));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
