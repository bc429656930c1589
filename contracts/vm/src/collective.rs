//! Both contracts deployed in a world, and a few people.

use std::path::PathBuf;

use serde_json::{json, Value};

use crate::host::Action;
use crate::world::{calling, Outcome, World};

/// 10^24 yoctoNEAR.
pub const NEAR: u128 = 1_000_000_000_000_000_000_000_000;
/// 10^21 yoctoNEAR.
pub const MILLI: u128 = NEAR / 1_000;
/// What registering a pattern takes: its storage, and what is held.
pub const DEPOSIT: u128 = 125 * MILLI;
/// The contract.
pub const REGISTRY: &str = "registry.mycel.test";
/// The other contract.
pub const REPUTATION: &str = "reputation.mycel.test";
/// Of both.
pub const OWNER: &str = "mycel.test";
/// Registers patterns.
pub const CREATOR: &str = "creator.test";
/// Uses them.
pub const USER: &str = "user.test";

/// Both contracts, and a few people.
pub struct Collective {
    /// In which they are.
    pub world: World,
}

/// The wasm of a contract: of the folder that `MYCEL_WASM` names, or the one that is committed.
pub fn wasm(name: &str) -> Vec<u8> {
    let committed = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../res");
    let folder = std::env::var_os("MYCEL_WASM").map_or_else(committed, PathBuf::from);
    let path = folder.join(name).with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The wasm of state version 1, before the contracts had maps of their own; nobody ever put it on a network.
pub fn wasm_before(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/before").join(format!("{name}-1.wasm"));
    std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The hash of a wasm, as `stage_upgrade` takes it.
pub fn sha256(code: &[u8]) -> String {
    hex::encode(near_primitives_core::hash::hash(code).0)
}

/// A manifest's hash, and its CID.
pub fn hash_of(seed: u64) -> (String, String) {
    let digest = near_primitives_core::hash::hash(&seed.to_le_bytes());
    let bytes: Vec<u8> = [1, 0x71, 0x12, 32].into_iter().chain(digest.0).collect();
    (hex::encode(digest.0), format!("b{}", base32(&bytes)))
}

fn base32(bytes: &[u8]) -> String {
    let (mut text, mut bits, mut held) = (String::new(), 0u32, 0);
    let mut put = |value: u32| text.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[value as usize & 31]));
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            put(bits >> held);
        }
    }
    if held > 0 {
        put(bits << (5 - held));
    }
    text
}

impl Default for Collective {
    fn default() -> Self {
        Self::new(&wasm("registry"), &wasm("reputation"))
    }
}

impl Collective {
    /// Deploys both, each told of the other.
    pub fn new(registry: &[u8], reputation: &[u8]) -> Self {
        let mut world = World::default();
        for (id, balance) in [
            (OWNER, 100 * NEAR),
            (CREATOR, 100 * NEAR),
            (USER, 100 * NEAR),
            (REGISTRY, 5 * NEAR),
            (REPUTATION, 3 * NEAR),
        ] {
            world.account(id, balance);
        }
        for (id, code, args) in [
            (REGISTRY, registry, json!({"owner": OWNER, "reputation": REPUTATION})),
            (REPUTATION, reputation, json!({"owner": OWNER, "registry": REGISTRY})),
        ] {
            let init = calling("new", args.to_string().into_bytes(), 0);
            let outcome = world.transact(OWNER, id, vec![Action::Deploy(code.to_vec()), init]);
            assert!(outcome.result.is_ok(), "{id}: {}", outcome.error());
        }
        Self { world }
    }

    /// A call of the registry.
    pub fn call(&mut self, signer: &str, method: &str, args: Value, deposit: u128) -> Outcome {
        self.world.call(signer, REGISTRY, method, &args, deposit)
    }

    /// A call of the registry that is refused, with `why`: it costs nothing, and leaves nothing behind.
    pub fn refused(&mut self, signer: &str, method: &str, args: Value, deposit: u128, why: &str) {
        self.refused_by(REGISTRY, signer, calling(method, args.to_string().into_bytes(), deposit), why);
    }

    /// The same of either contract, and of a call as it comes.
    pub fn refused_by(&mut self, contract: &str, signer: &str, call: Action, why: &str) {
        let Action::Call { method, args, deposit, gas, .. } = &call else { panic!("{call:?} calls nothing") };
        let shown = args.iter().take(200).copied().collect::<Vec<_>>();
        let said = format!("{contract}.{method}({}) with {deposit} and {gas} gas", String::from_utf8_lossy(&shown));
        let before = self.world.accounts.clone();
        let told = self.world.transact(signer, contract, vec![call]).result.err();
        let told = told.unwrap_or_else(|| panic!("{said}: it is not refused, which should be told: {why}"));
        assert!(told.contains(why), "{said}: {told}");
        for (id, known) in &before {
            let now = &self.world.accounts[id];
            assert_eq!(now.balance, known.balance, "{said}: what was attached did not come back, {id} sees");
            assert!(now.storage == known.storage && now.usage == known.usage, "{said}: something was stored in {id}");
        }
    }

    /// A view of the registry.
    pub fn view(&self, method: &str, args: Value) -> Value {
        self.world.view(REGISTRY, method, &args).unwrap_or_else(|why| panic!("{method}: {why}")).0
    }

    /// Registers a pattern; returns its number.
    pub fn register(&mut self, creator: &str, seed: u64, domain: &str, price: u128) -> u64 {
        let (hash, cid) = hash_of(seed);
        let args =
            json!({"pattern_hash": hash, "metadata_cid": cid, "domain": domain, "price_per_use": price.to_string()});
        self.call(creator, "register_pattern", args, DEPOSIT).value().as_u64().expect("a number")
    }

    /// Buys the next use of a pattern, for what it costs.
    pub fn buy(&mut self, user: &str, id: u64) -> Outcome {
        let quote = self.view("quote", json!({"id": id, "account": user}));
        let args = json!({"id": id, "expected_hash": quote["hash"], "max_price": quote["price"], "nth": quote["nth"]});
        self.call(user, "use_pattern", args, amount(&quote["total"]))
    }

    /// Rates a use.
    pub fn rate(&mut self, user: &str, id: u64, rating: u8) -> Outcome {
        self.call(user, "rate_pattern", json!({"id": id, "success": true, "rating": rating}), 0)
    }

    /// The reputation of a creator, as the other contract has it.
    pub fn reputation(&self, account: &str) -> Value {
        self.world.view(REPUTATION, "get_reputation", &json!({"account": account})).expect("a view").0
    }

    /// What an account has, in yoctoNEAR.
    pub fn balance(&self, account: &str) -> u128 {
        self.world.accounts[account].balance
    }
}

/// An amount of JSON, in yoctoNEAR.
pub fn amount(value: &Value) -> u128 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no amount"))
}
