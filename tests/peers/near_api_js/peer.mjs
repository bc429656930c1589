// What a program that uses near-api-js does on a chain, told as one line of JSON. It gets {url, account, secret, wasm} as base64 of JSON
// in its environment.
import { Account, JsonRpcProvider, KeyPair, actions } from "near-api-js";

const given = JSON.parse(Buffer.from(process.env.STORY, "base64").toString());
const NEAR = 10n ** 24n;
const TGAS = 10n ** 12n;
const provider = new JsonRpcProvider({ url: given.url });
const alice = new Account(given.account, provider, given.secret);
const told = {};

async function failing(run) {
  try {
    await run();
  } catch (error) {
    return { kind: error.constructor.name, message: error.message };
  }
  throw new Error("it should have failed");
}

told.state = (await alice.getState()).balance.total.toString();
told.transfer = (await alice.transfer({ receiverId: "bob.near", amount: 5n })).status;
told.keys = (await alice.getAccessKeyList()).keys.length;

const pair = KeyPair.fromRandom("ed25519");
await alice.createSubAccount({ accountOrPrefix: "shop", publicKey: pair.getPublicKey(), nearToTransfer: 20n * NEAR });
const shop = new Account(`shop.${given.account}`, provider, pair.toString());
told.deploy = (await shop.deployContract(Buffer.from(given.wasm, "base64"))).status;
await alice.callFunction({ contractId: shop.accountId, methodName: "store", args: Buffer.from('{"text":"héllo ✓"}'), gas: 30n * TGAS });
told.view = await provider.callFunction({ contractId: shop.accountId, method: "read", args: {} });
told.code = (await provider.viewContractCode({ contractId: shop.accountId })).code_base64 === given.wasm;
told.stored = (await provider.viewContractState({ contractId: shop.accountId })).values;

// One receipt with several actions, and the same bytes sent again.
const several = await alice.createSignedTransaction({
  receiverId: shop.accountId,
  actions: [actions.transfer(1n), actions.functionCall("echo", { said: "hi" }, 10n * TGAS, 1n)],
});
told.levels = [];
for (const level of ["NONE", "INCLUDED", "EXECUTED_OPTIMISTIC", "INCLUDED_FINAL", "EXECUTED", "FINAL"]) {
  told.levels.push((await provider.sendTransactionUntil(several, level)).final_execution_status);
}
const outcome = await provider.viewTransactionStatusWithReceipts({ txHash: (await provider.sendTransactionUntil(several, "FINAL")).transaction.hash, accountId: given.account, waitUntil: "FINAL" });
told.answer = outcome.status;
told.receipt = (await provider.viewTransactionReceipt(outcome.receipts[0].receipt_id)).receiver_id;

// Ten transactions of one key at once.
const together = await Promise.all(Array.from({ length: 10 }, () => alice.transfer({ receiverId: "bob.near", amount: 1n })));
told.together = new Set(together.map((one) => one.transaction.hash)).size;
told.nonces = together.map((one) => one.transaction.nonce);

// A key that may only call, and what it may not.
const limited = KeyPair.fromRandom("ed25519");
await alice.addFunctionCallAccessKey({ publicKey: limited.getPublicKey(), contractId: shop.accountId, methodNames: ["echo"], allowance: NEAR / 10n });
const caller = new Account(given.account, provider, limited.toString());
told.limited = await caller.callFunction({ contractId: shop.accountId, methodName: "echo", args: { a: 1 }, gas: 10n * TGAS });
told.withDeposit = await failing(() => caller.callFunction({ contractId: shop.accountId, methodName: "echo", args: {}, gas: 10n * TGAS, deposit: 1n }));
await alice.deleteKey(limited.getPublicKey());

told.blocks = [];
for (const finality of ["optimistic", "near-final", "final"]) {
  told.blocks.push((await provider.viewBlock({ finality })).header.height);
}
const block = await provider.viewBlock({ blockId: outcome.transaction_outcome.block_hash });
told.chunk = (await provider.viewChunk(block.chunks[0].chunk_hash)).transactions.map((one) => one.hash);
told.gasPrice = (await provider.viewGasPrice(null)).gas_price;
told.network = await provider.getNetworkId();
told.rules = (await provider.experimental_protocolConfig({ finality: "final" })).protocol_version;
told.changes = (await provider.accountChanges([given.account], { blockId: block.header.hash })).changes.map((one) => one.type);
told.touched = (await provider.blockChanges({ blockId: block.header.hash })).changes.length;
told.validators = (await provider.viewValidators()).current_validators.length;

told.errors = {
  account: await failing(() => provider.viewAccount({ accountId: "nobody.near" })),
  key: await failing(() => provider.viewAccessKey({ accountId: given.account, publicKey: KeyPair.fromRandom("ed25519").getPublicKey().toString() })),
  transaction: await failing(() => provider.viewTransactionStatus({ txHash: "1".repeat(32), accountId: given.account, waitUntil: "FINAL" })),
  balance: await failing(() => alice.transfer({ receiverId: "bob.near", amount: 10n ** 37n })),
  panic: await failing(() => alice.callFunction({ contractId: shop.accountId, methodName: "fail", args: "no", gas: 10n * TGAS })),
  method: await failing(() => alice.callFunction({ contractId: shop.accountId, methodName: "nothing", args: {}, gas: 10n * TGAS })),
  view: await failing(() => provider.callFunction({ contractId: shop.accountId, method: "store", args: {} })),
  block: await failing(() => provider.viewBlock({ blockId: 7 })),
};
await shop.deleteAccount(given.account);
told.deleted = (await failing(() => shop.getState())).kind;
console.log(JSON.stringify(told));
