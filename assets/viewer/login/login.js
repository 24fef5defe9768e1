/**
 * The page that signs a browser in. It stands alone: it is the only one that is open to everybody.
 *
 * @module
 */

import { SignInError, pageAfter, signInWithCode, signInWithToken, takeCode } from './signin.js';

const form = document.getElementById('form');
const field = document.getElementById('token');
const said = document.getElementById('said');

/** @param {Promise<void>} signingIn */
async function enter(signingIn) {
  try {
    await signingIn;
    location.replace(pageAfter(location.href));
  } catch (error) {
    if (!(error instanceof SignInError)) throw error;
    if (said) said.textContent = error.message;
    field?.focus();
  }
}

form?.addEventListener('submit', (event) => {
  event.preventDefault();
  if (field instanceof HTMLInputElement) enter(signInWithToken(field.value.trim()));
});

const code = takeCode();
if (code) enter(signInWithCode(code));
else field?.focus();
