//! A map in the contract's storage, which it reads and writes at once.
//!
//! The maps of near-sdk keep what they have read until the call ends, and all of that is compiled anew for each kind of record: it
//! was a third of the registry's wasm, which is loaded, and paid for, by each call.

use core::marker::PhantomData;

use near_sdk::borsh::{self, BorshDeserialize, BorshSerialize};
use near_sdk::env;

/// Values by keys. Each map of a contract has a `PREFIX` of its own, which is part of the state and may never change.
#[derive(BorshSerialize, BorshDeserialize)]
#[borsh(crate = "near_sdk::borsh")]
pub struct Map<const PREFIX: u8, K, V>(PhantomData<fn(K) -> V>);

impl<const PREFIX: u8, K, V> Default for Map<PREFIX, K, V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<const PREFIX: u8, K: BorshSerialize, V: BorshSerialize + BorshDeserialize> Map<PREFIX, K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<V> {
        env::storage_read(&under(PREFIX, key)).map(|bytes| parsed(&bytes))
    }

    /// Is there a value?
    pub fn has(&self, key: &K) -> bool {
        env::storage_has_key(&under(PREFIX, key))
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: &K, value: &V) {
        env::storage_write(&under(PREFIX, key), &bytes(value));
    }

    /// Takes the value of a key out.
    pub fn take(&mut self, key: &K) -> Option<V> {
        let key = under(PREFIX, key);
        if !env::storage_remove(&key) {
            return None;
        }
        env::storage_get_evicted().map(|bytes| parsed(&bytes))
    }

    /// Takes the value of a key out, unseen.
    pub fn remove(&mut self, key: &K) {
        env::storage_remove(&under(PREFIX, key));
    }
}

fn under(prefix: u8, key: &impl BorshSerialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.push(prefix);
    put(key, &mut bytes);
    bytes
}

fn bytes(value: &impl BorshSerialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    put(value, &mut bytes);
    bytes
}

fn put(value: &impl BorshSerialize, bytes: &mut Vec<u8>) {
    if value.serialize(bytes).is_err() {
        env::panic_str("ERR_STATE: what is to be stored cannot be written");
    }
}

fn parsed<V: BorshDeserialize>(bytes: &[u8]) -> V {
    borsh::from_slice(bytes)
        .unwrap_or_else(|_| env::panic_str("ERR_STATE: what is stored is not what this code stores"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_there_until_it_is_taken_and_maps_are_apart() {
        let (mut one, mut other) = (Map::<1, String, u64>::default(), Map::<2, String, u64>::default());
        let key = "key".to_owned();
        assert_eq!((one.get(&key), one.has(&key), one.take(&key)), (None, false, None));
        one.set(&key, &7);
        other.set(&key, &8);
        assert_eq!((one.get(&key), other.get(&key)), (Some(7), Some(8)));
        one.set(&key, &9);
        assert_eq!((one.has(&key), one.take(&key), one.get(&key)), (true, Some(9), None));
        other.remove(&key);
        assert!(!other.has(&key));
    }
}
