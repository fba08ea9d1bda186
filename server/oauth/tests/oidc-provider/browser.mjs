// A person in a real browser, headless: opens LINK, signs in and agrees at the pages of oidc-provider, or with REFUSE goes
// back from there. Says as JSON what the last page is like: its words, its language, and whether the browser had anything to
// complain of. Nothing is loaded from beyond this machine.
import { chromium } from 'playwright-core';

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
});
try {
  const context = await browser.newContext({ locale: process.env.LOCALE });
  await context.route((url) => url.hostname !== '127.0.0.1', (route) => route.abort());
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    // A page with a status of its own is no complaint.
    const ours = message.location().url.includes('/oauth/') && !message.text().includes('responded with a status of');
    if (message.type() === 'error' && ours) complaints.push(message.text());
  });
  await page.goto(process.env.LINK);
  if (process.env.REFUSE) {
    await page.getByRole('link', { name: /cancel/i }).click();
  } else {
    await page.locator('input[name=login]').fill('alex');
    await page.locator('input[name=password]').fill('anything');
    await page.locator('button[type=submit]').click();
    await page.getByRole('button', { name: /continue/i }).click();
  }
  await page.waitForURL(/\/oauth\/callback/);
  const seen = await page.evaluate(() => ({
    page: document.querySelector('main')?.dataset.page,
    title: document.title,
    heading: document.querySelector('main h1')?.textContent,
    language: document.documentElement.lang,
    text: document.body.innerText,
    styled: getComputedStyle(document.querySelector('main')).maxWidth,
    scripts: document.scripts.length,
  }));
  const reloaded = await page.reload();
  const cookies = (await context.cookies()).filter((cookie) => cookie.path === '/oauth').length;
  console.log(JSON.stringify({ ...seen, complaints, cookies, reloaded: reloaded.status() }));
} finally {
  await browser.close();
}
