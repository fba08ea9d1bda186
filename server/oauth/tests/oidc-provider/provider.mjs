// A certified OpenID provider for tests: one person, who agrees at once, or by INTERACTIVE on the pages of the provider;
// refresh tokens that rotate; proof keys required. It says its port on stdout and ends with its stdin, so that no test leaves it behind.
import http from 'node:http';
import Provider from 'oidc-provider';

const secret = process.env.CLIENT_SECRET;
const redirect_uris = [process.env.REDIRECT_URI];
const interactive = Boolean(process.env.INTERACTIVE);
const grant_types = ['authorization_code', 'refresh_token'];
const client = (client_id, token_endpoint_auth_method) => ({
  client_id, client_secret: secret, token_endpoint_auth_method, redirect_uris, grant_types, response_types: ['code'],
});

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [client('by-basic', 'client_secret_basic'), client('by-post', 'client_secret_post')],
    scopes: ['openid', 'offline_access', 'read'],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    features: { devInteractions: { enabled: interactive }, revocation: { enabled: true } },
    ...(interactive ? {} : { interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` } }),
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    cookies: { keys: ['for tests only'] },
    ttl: { AccessToken: 3600, Grant: 3600, Session: 3600, Interaction: 600, IdToken: 600, RefreshToken: 3600 },
  });
  const serve = provider.callback();

  const agree = async (req, res) => {
    const { prompt, params, session, grantId } = await provider.interactionDetails(req, res);
    if (prompt.name === 'login') {
      return provider.interactionFinished(req, res, { login: { accountId: 'alex' } });
    }
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } });
  };

  server.on('request', (req, res) => {
    if (interactive || !req.url.startsWith('/interaction/')) return serve(req, res);
    return agree(req, res).catch((error) => { res.statusCode = 500; res.end(String(error)); });
  });
  console.log(port);
});
process.stdin.on('end', () => process.exit(0)).resume();
