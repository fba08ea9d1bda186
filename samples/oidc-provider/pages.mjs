// The people, and the pages on which they say who they are and agree.
export const accounts = {
  alex: {
    name: 'Alex Martin', preferred_username: 'alex', email: 'alex@erable.example', email_verified: true,
    locale: 'fr-FR', zoneinfo: 'Europe/Paris', updated_at: 1760000000,
  },
  sam: {
    name: 'Sam Durand', preferred_username: 'sam', email: 'sam@erable.example', email_verified: true,
    locale: 'en-GB', zoneinfo: 'Europe/London', updated_at: 1761000000,
  },
};

const scopes = {
  openid: 'know who you are',
  profile: 'read your name, language and time zone',
  email: 'read your e-mail address',
  offline_access: 'do so while you are away',
};

const escape = (text) => String(text).replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

const whole = (title, body) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(title)}</title>
<style>
  body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 3rem auto; padding: 0 1rem }
  button { font: inherit; padding: .5rem 1rem; margin: .25rem .5rem .25rem 0 }
</style>
<main>
<h1>${escape(title)}</h1>
${body}
</main>
</html>
`;

export const loginPage = (uid) => whole('Sample provider: who are you?', `<p>Two people have an account here. Neither has a password.</p>
<form method="post" action="/interaction/${escape(uid)}">
${Object.entries(accounts).map(([id, { name }]) => `<button name="account" value="${escape(id)}">${escape(name)}</button>`).join('\n')}
</form>`);

export const consentPage = (uid, account, scope) => whole('Sample provider: do you agree?', `<p>${escape(account?.name)}, connectord asks to</p>
<ul>
${scope.split(' ').map((name) => `<li>${escape(scopes[name] ?? name)}</li>`).join('\n')}
</ul>
<form method="post" action="/interaction/${escape(uid)}">
<button name="answer" value="agree">Agree</button>
<button name="answer" value="refuse">Refuse</button>
</form>`);

export const messagePage = (message) => whole('Sample provider', `<p>${escape(message)}</p>`);
