//! Runs the contracts, as they are deployed, on the VM of the NEAR network.

mod collective;
mod host;
mod story;
mod table;
mod trace;
mod world;

pub use collective::{
    amount, hash_of, sha256, wasm, wasm_before, Collective, CREATOR, DEPOSIT, MILLI, NEAR, OWNER, REGISTRY, REPUTATION,
    USER,
};
pub use host::{Action, Storage, TRIE_DEPTH};
pub use story::played;
pub use table::{measured, Most, Table};
pub use world::{calling, Account, Outcome, Ran, Receipt, World, BYTE, DAY, PROTOCOL, TGAS};
