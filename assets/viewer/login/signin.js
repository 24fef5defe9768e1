/**
 * Signing in: a token or a one-time code for the cookie that the daemon sets. No script ever sees the cookie.
 *
 * @module
 */

const TIMEOUT_MS = 5_000;

/** Why the daemon did not sign this browser in, in words for people. */
export class SignInError extends Error {}

/**
 * @param {string} path
 * @param {Record<string, string>} body
 */
async function trade(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new SignInError('The daemon does not answer.');
  }
  if (response.ok) return;
  /** @type {{ error?: { message?: unknown } }} */
  const said = await response.json().catch(() => ({}));
  const message = said.error?.message;
  throw new SignInError(typeof message === 'string' ? message : `The daemon refused (${response.status}).`);
}

/** @param {string} token */
export const signInWithToken = (token) => trade('/auth/login', { token });

/** @param {string} code */
export const signInWithCode = (code) => trade('/auth/code', { code });

const CODE = /^#code=([0-9a-f]{64})$/;

export const hasCode = () => CODE.test(location.hash);

/**
 * Takes the one-time code out of the page's address, so that it is in no history and no bookmark.
 *
 * @returns {string} empty when there is none
 */
export function takeCode() {
  const code = CODE.exec(location.hash)?.[1] ?? '';
  if (code) history.replaceState(null, '', location.pathname + location.search);
  return code;
}

/**
 * @param {string} login the address of the login page
 * @returns {string} the page that was asked for before it, which is one of this daemon's
 */
export function pageAfter(login) {
  const { origin, searchParams } = new URL(login);
  const next = searchParams.get('next') ?? '/';
  const page = URL.canParse(next, origin) ? new URL(next, origin) : null;
  return page?.origin === origin ? page.href : `${origin}/`;
}
