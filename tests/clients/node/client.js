// A program on node-vault: what an application does in its life, against our server.
// VAULT_ADDR, ROLE_ID and SECRET_ID are in its environment; languages.py says what they may do.
'use strict';

const assert = require('node:assert/strict');
const vault = require('node-vault')({ apiVersion: 'v1', endpoint: process.env.VAULT_ADDR });

const status = (expected) => (error) => {
  assert.equal(error.response && error.response.statusCode, expected, error.message);
  return true;
};

async function main() {
  const login = await vault.approleLogin({ role_id: process.env.ROLE_ID, secret_id: process.env.SECRET_ID });
  vault.token = login.auth.client_token;
  assert.deepEqual(login.auth.policies.sort(), ['client', 'default']);

  const path = 'secret/data/client/node';
  const first = await vault.write(path, { data: { user: 'u', password: 'one' }, options: { cas: 0 } });
  assert.equal(first.data.version, 1);
  await assert.rejects(vault.write(path, { data: { password: 'late' }, options: { cas: 0 } }), status(400));
  await vault.write(path, { data: { password: 'two' }, options: { cas: 1 } });
  assert.equal((await vault.read(path)).data.data.password, 'two');
  assert.equal((await vault.read(path + '?version=1')).data.data.password, 'one');
  assert.deepEqual((await vault.list('secret/metadata/client/')).data.keys, ['node']);
  await vault.delete('secret/metadata/client/node');
  await assert.rejects(vault.read(path), status(404));

  const wrapped = await vault.read('auth/token/lookup-self', { headers: { 'X-Vault-Token': vault.token, 'X-Vault-Wrap-TTL': '60s' } });
  assert.equal(wrapped.wrap_info.ttl, 60);
  const inside = await vault.unwrap({ token: wrapped.wrap_info.token });
  assert.equal(inside.data.display_name, 'approle');
  await assert.rejects(vault.unwrap({ token: wrapped.wrap_info.token }), status(400));

  const key = await vault.read('aws/creds/deploy');
  assert.match(key.data.access_key, /^AKIA/);
  assert.equal((await vault.renew({ lease_id: key.lease_id, increment: 1800 })).lease_duration, 1800);
  await vault.revoke({ lease_id: key.lease_id });
  await assert.rejects(vault.renew({ lease_id: key.lease_id }), status(400));

  assert.equal((await vault.tokenRenewSelf({ increment: 1200 })).auth.lease_duration, 1200);
  await vault.tokenRevokeSelf();
  await assert.rejects(vault.tokenLookupSelf(), status(403));
  console.log('done');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
