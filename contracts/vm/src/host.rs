//! What a contract sees of the network while it runs: its storage, and the receipts that it makes.

use std::collections::BTreeMap;

use near_crypto::PublicKey;
use near_primitives_core::hash::{CryptoHash, YieldId};
use near_primitives_core::types::{AccountId, Balance, Gas, GasWeight, Nonce, NonceIndex};
use near_primitives_core::universal_state_init::{DecodeMode, RawStateInit, StateInitError, UniversalStateInitCounts};
use near_vm_runner::logic::types::{ActionIndex, GlobalContractDeployMode, GlobalContractIdentifier, ReceiptIndex};
use near_vm_runner::logic::{External, StorageAccessTracker, VMLogicError, ValuePtr};

/// Nodes of the trie from its root to a value: a write pays for each. The network's own trie is not here; 20 is more than a contract
/// with a million records has.
pub const TRIE_DEPTH: u64 = 20;

/// What is stored under keys.
pub type Storage = BTreeMap<Vec<u8>, Vec<u8>>;

/// What changed of it; None was removed.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a receipt does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Sends yoctoNEAR.
    Transfer(u128),
    /// Puts in code.
    Deploy(Vec<u8>),
    /// Calls a method.
    Call {
        /// Its name.
        method: String,
        /// As the method takes them.
        args: Vec<u8>,
        /// In yoctoNEAR.
        deposit: u128,
        /// At least.
        gas: u64,
        /// Its share of the gas that is left.
        weight: u64,
    },
}

/// A receipt that a contract makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// For whom.
    pub receiver: String,
    /// Those before it, whose results it waits for.
    pub after: Vec<usize>,
    /// In order, all or none.
    pub actions: Vec<Action>,
}

/// The network, as one call sees it.
pub struct Host<'a> {
    before: &'a Storage,
    changed: Changes,
    made: Vec<(AccountId, Made)>,
}

impl<'a> Host<'a> {
    /// Over what is stored, and what the receipt has changed of it; changes are kept apart.
    pub fn new(before: &'a Storage, changed: Changes) -> Self {
        Self { before, changed, made: Vec::new() }
    }

    /// What changed, and the receipts that were made.
    pub fn end(self) -> (Changes, Vec<Made>) {
        (self.changed, self.made.into_iter().map(|(_, made)| made).collect())
    }

    /// What changed until now.
    pub fn changed(&self) -> &Changes {
        &self.changed
    }

    /// The receipts that were made until now.
    pub fn made(&self) -> impl Iterator<Item = &Made> {
        self.made.iter().map(|(_, made)| made)
    }

    fn stored(&self, key: &[u8]) -> Option<&Vec<u8>> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.before.get(key),
        }
    }

    fn append(&mut self, receipt: ReceiptIndex, action: Action) {
        let index = usize::try_from(receipt).expect("few receipts");
        self.made[index].1.actions.push(action);
    }
}

struct Value(Vec<u8>);

impl ValuePtr for Value {
    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).expect("a value has 4 MiB at most")
    }

    fn deref(&self, _: &mut dyn StorageAccessTracker) -> Result<Vec<u8>, VMLogicError> {
        Ok(self.0.clone())
    }
}

fn bytes(value: &[u8]) -> u64 {
    u64::try_from(value.len()).expect("short")
}

fn never(what: &str) -> ! {
    panic!("a contract of mycelnode does what none of them does: {what}")
}

impl External for Host<'_> {
    fn storage_set(
        &mut self,
        gas: &mut dyn StorageAccessTracker,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<Vec<u8>>, VMLogicError> {
        gas.cached_trie_node_access(TRIE_DEPTH)?;
        let evicted = self.stored(key).cloned();
        if let Some(evicted) = &evicted {
            gas.deref_write_evicted_value_bytes(bytes(evicted))?;
        }
        self.changed.insert(key.to_vec(), Some(value.to_vec()));
        Ok(evicted)
    }

    fn storage_get<'a>(
        &'a self,
        _: &mut dyn StorageAccessTracker,
        key: &[u8],
    ) -> Result<Option<Box<dyn ValuePtr + 'a>>, VMLogicError> {
        // flat storage: a read walks no trie
        Ok(self.stored(key).map(|value| Box::new(Value(value.clone())) as Box<dyn ValuePtr>))
    }

    fn storage_remove(
        &mut self,
        gas: &mut dyn StorageAccessTracker,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, VMLogicError> {
        gas.cached_trie_node_access(TRIE_DEPTH)?;
        let removed = self.stored(key).cloned();
        if let Some(removed) = &removed {
            gas.deref_removed_value_bytes(bytes(removed))?;
            self.changed.insert(key.to_vec(), None);
        }
        Ok(removed)
    }

    fn storage_has_key(&mut self, _: &mut dyn StorageAccessTracker, key: &[u8]) -> Result<bool, VMLogicError> {
        Ok(self.stored(key).is_some())
    }

    fn create_action_receipt(
        &mut self,
        after: Vec<ReceiptIndex>,
        receiver: AccountId,
    ) -> Result<ReceiptIndex, VMLogicError> {
        let index = |receipt: ReceiptIndex| usize::try_from(receipt).expect("few receipts");
        let after = after.into_iter().map(index).collect();
        let made = Made { receiver: receiver.to_string(), after, actions: Vec::new() };
        self.made.push((receiver, made));
        Ok(self.made.len() as u64 - 1)
    }

    fn append_action_deploy_contract(&mut self, receipt: ReceiptIndex, code: Vec<u8>) {
        self.append(receipt, Action::Deploy(code));
    }

    fn append_action_function_call_weight(
        &mut self,
        receipt: ReceiptIndex,
        method: Vec<u8>,
        args: Vec<u8>,
        deposit: Balance,
        gas: Gas,
        weight: GasWeight,
    ) -> Result<(), VMLogicError> {
        let method = String::from_utf8(method).expect("a method's name is text");
        let (deposit, gas) = (deposit.as_yoctonear(), gas.as_gas());
        self.append(receipt, Action::Call { method, args, deposit, gas, weight: weight.0 });
        Ok(())
    }

    fn append_action_transfer(&mut self, receipt: ReceiptIndex, amount: Balance) {
        self.append(receipt, Action::Transfer(amount.as_yoctonear()));
    }

    fn get_receipt_receiver(&self, receipt: ReceiptIndex) -> &AccountId {
        &self.made[usize::try_from(receipt).expect("few receipts")].0
    }

    fn get_recorded_storage_size(&self) -> usize {
        0
    }

    fn storage_proof_size_before_receipt(&self) -> usize {
        0
    }

    fn chain_id(&self) -> String {
        "test".to_owned()
    }

    fn post_quantum_keys_enabled(&self) -> bool {
        false
    }

    // --- what none of the contracts does ---------------------------------------------------------------------------------------

    fn generate_data_id(&mut self) -> CryptoHash {
        never("generate_data_id")
    }

    fn validator_stake(&self, _: &AccountId) -> Result<Option<Balance>, VMLogicError> {
        never("validator_stake")
    }

    fn validator_total_stake(&self) -> Result<Balance, VMLogicError> {
        never("validator_total_stake")
    }

    fn create_promise_yield_receipt(&mut self, _: AccountId) -> Result<(ReceiptIndex, CryptoHash), VMLogicError> {
        never("promise_yield")
    }

    fn create_promise_yield_receipt_with_id(
        &mut self,
        _: AccountId,
        _: YieldId,
    ) -> Result<Option<(ReceiptIndex, CryptoHash)>, VMLogicError> {
        never("promise_yield")
    }

    fn submit_promise_resume_data(&mut self, _: CryptoHash, _: Vec<u8>) -> Result<bool, VMLogicError> {
        never("promise_resume")
    }

    fn submit_promise_resume_data_with_yield_id(&mut self, _: YieldId, _: Vec<u8>) -> Result<bool, VMLogicError> {
        never("promise_resume")
    }

    fn append_action_create_account(&mut self, _: ReceiptIndex) {
        never("create_account")
    }

    fn append_action_deploy_global_contract(&mut self, _: ReceiptIndex, _: Vec<u8>, _: GlobalContractDeployMode) {
        never("deploy_global_contract")
    }

    fn append_action_use_global_contract(&mut self, _: ReceiptIndex, _: GlobalContractIdentifier) {
        never("use_global_contract")
    }

    fn append_action_deterministic_state_init(
        &mut self,
        _: ReceiptIndex,
        _: GlobalContractIdentifier,
        _: Balance,
    ) -> ActionIndex {
        never("state_init")
    }

    fn set_deterministic_state_init_data_entry(
        &mut self,
        _: ReceiptIndex,
        _: ActionIndex,
        _: Vec<u8>,
        _: Vec<u8>,
    ) -> Result<(), VMLogicError> {
        never("state_init")
    }

    fn check_state_init(&self, _: &RawStateInit) -> Result<(), StateInitError> {
        never("state_init")
    }

    fn state_init_send_counts(&self, _: &RawStateInit, _: DecodeMode) -> UniversalStateInitCounts {
        never("state_init")
    }

    fn append_action_universal_state_init(&mut self, _: ReceiptIndex, _: RawStateInit, _: Balance) {
        never("state_init")
    }

    fn append_action_transfer_to_gas_key(&mut self, _: ReceiptIndex, _: PublicKey, _: Balance) {
        never("gas_key")
    }

    fn append_action_add_gas_key_with_full_access(&mut self, _: ReceiptIndex, _: PublicKey, _: NonceIndex) {
        never("gas_key")
    }

    fn append_action_add_gas_key_with_function_call(
        &mut self,
        _: ReceiptIndex,
        _: PublicKey,
        _: NonceIndex,
        _: Option<Balance>,
        _: AccountId,
        _: Vec<Vec<u8>>,
    ) -> Result<(), VMLogicError> {
        never("gas_key")
    }

    fn append_action_stake(&mut self, _: ReceiptIndex, _: Balance, _: PublicKey) {
        never("stake")
    }

    fn append_action_add_key_with_full_access(&mut self, _: ReceiptIndex, _: PublicKey, _: Nonce) {
        never("add_key")
    }

    fn append_action_add_key_with_function_call(
        &mut self,
        _: ReceiptIndex,
        _: PublicKey,
        _: Nonce,
        _: Option<Balance>,
        _: AccountId,
        _: Vec<Vec<u8>>,
    ) -> Result<(), VMLogicError> {
        never("add_key")
    }

    fn append_action_delete_key(&mut self, _: ReceiptIndex, _: PublicKey) {
        never("delete_key")
    }

    fn append_action_delete_account(&mut self, _: ReceiptIndex, _: AccountId) {
        never("delete_account")
    }

    fn set_refund_to(&mut self, _: ReceiptIndex, _: AccountId) {
        never("set_refund_to")
    }
}
