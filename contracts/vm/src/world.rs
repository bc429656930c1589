//! A world of accounts, in which receipts run one after the other: enough of the network for what contracts do with one another.
//!
//! Gas is counted and costs nobody anything, so what all accounts have together stays the same, to the yocto.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use near_parameters::{ActionCosts, RuntimeConfig, RuntimeConfigStore};
use near_primitives_core::account::AccountContract;
use near_primitives_core::config::ViewConfig;
use near_primitives_core::hash::CryptoHash;
use near_primitives_core::types::{Balance, Gas};
use near_vm_runner::logic::types::PromiseResult;
use near_vm_runner::logic::{ReturnData, VMContext, VMOutcome};
use near_vm_runner::{Contract, ContractCode, MockContractRuntimeCache};

use crate::host::{Action, Host, Made, Storage};
use crate::trace;

/// The version of the protocol whose VM, costs and limits these are.
pub const PROTOCOL: u32 = 86;
/// What a byte of storage takes out of a balance, in yoctoNEAR.
pub const BYTE: u128 = 10_000_000_000_000_000_000;
/// 10^12 gas.
pub const TGAS: u64 = 1_000_000_000_000;
/// In nanoseconds.
pub const DAY: u64 = 86_400_000_000_000;
/// Before an account stores anything, in bytes.
const EMPTY_ACCOUNT: u64 = 100;
/// Who sends refunds.
const SYSTEM: &str = "system";

/// An account.
#[derive(Clone, Default)]
pub struct Account {
    /// In yoctoNEAR.
    pub balance: u128,
    /// What its contract stores.
    pub storage: Storage,
    /// In bytes, as the network counts them.
    pub usage: u64,
    code: Option<Arc<ContractCode>>,
}

/// A receipt.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// From whom.
    pub predecessor: String,
    /// For whom.
    pub receiver: String,
    /// In order, all or none.
    pub actions: Vec<Action>,
    waits_for: Vec<u64>,
    tells: Vec<u64>,
}

impl Receipt {
    /// The yoctoNEAR that it carries.
    pub fn amount(&self) -> u128 {
        let of = |action: &Action| match action {
            Action::Transfer(amount) | Action::Call { deposit: amount, .. } => *amount,
            Action::Deploy(_) => 0,
        };
        self.actions.iter().map(of).sum()
    }

    /// The first method that it calls.
    pub fn method(&self) -> Option<&str> {
        self.actions.iter().find_map(|action| match action {
            Action::Call { method, .. } => Some(method.as_str()),
            _ => None,
        })
    }
}

/// How a receipt went.
#[derive(Debug, Clone)]
pub struct Ran {
    /// For whom.
    pub receiver: String,
    /// The first method that it called.
    pub method: Option<String>,
    /// Burnt by its calls, in the VM.
    pub gas: u64,
    /// The same, with what is set aside for the calls that they made.
    pub used: u64,
    /// The last result, or why not.
    pub result: Result<Vec<u8>, String>,
    /// What its calls logged.
    pub logs: Vec<String>,
}

/// How a transaction went, with all that came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In the order in which they ran.
    pub receipts: Vec<Ran>,
    /// Of the first one, followed through what it returned.
    pub result: Result<Vec<u8>, String>,
}

impl Outcome {
    /// The result, as JSON.
    pub fn value(&self) -> serde_json::Value {
        let bytes = self.result.as_ref().unwrap_or_else(|why| panic!("it failed: {why}"));
        serde_json::from_slice(bytes).unwrap_or(serde_json::Value::Null)
    }

    /// Why it failed.
    pub fn error(&self) -> &str {
        self.result.as_ref().err().map_or_else(|| panic!("it did not fail"), String::as_str)
    }

    /// All that was logged.
    pub fn logs(&self) -> impl Iterator<Item = &str> {
        self.receipts.iter().flat_map(|ran| ran.logs.iter().map(String::as_str))
    }

    /// Burnt in the VM by the calls of a method.
    pub fn gas(&self, method: &str) -> u64 {
        self.receipts.iter().filter(|ran| ran.method.as_deref() == Some(method)).map(|ran| ran.gas).sum()
    }

    /// Burnt in the VM by all calls.
    pub fn all_gas(&self) -> u64 {
        self.receipts.iter().map(|ran| ran.gas).sum()
    }
}

/// A world.
pub struct World {
    config: Arc<RuntimeConfig>,
    cache: MockContractRuntimeCache,
    /// By their ids.
    pub accounts: BTreeMap<String, Account>,
    /// In nanoseconds since 1970.
    pub now: u64,
    /// Where each call is written down, if anywhere; see `trace`.
    pub trace: Option<RefCell<Vec<serde_json::Value>>>,
    /// Says of a receipt whether it fails though nothing is wrong with it.
    pub fault: Box<dyn FnMut(&Receipt) -> bool>,
    signer: String,
    ready: VecDeque<Receipt>,
    waiting: Vec<Receipt>,
    data: BTreeMap<u64, Result<Vec<u8>, String>>,
    next_data: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            config: Arc::clone(RuntimeConfigStore::new(None).get_config(PROTOCOL)),
            cache: MockContractRuntimeCache::default(),
            accounts: BTreeMap::new(),
            now: 1_800_000_000_000_000_000,
            trace: None,
            fault: Box::new(|_| false),
            signer: String::new(),
            ready: VecDeque::new(),
            waiting: Vec::new(),
            data: BTreeMap::new(),
            next_data: 0,
        }
    }
}

struct Code(Arc<ContractCode>);

impl Contract for Code {
    fn hash(&self) -> CryptoHash {
        *self.0.hash()
    }

    fn get_code(&self) -> Option<Arc<ContractCode>> {
        Some(Arc::clone(&self.0))
    }
}

struct Call<'a> {
    account: &'a str,
    predecessor: &'a str,
    method: &'a str,
    args: &'a [u8],
    deposit: u128,
    gas: u64,
    results: &'a [Result<Vec<u8>, String>],
    view: bool,
}

#[derive(Default)]
struct Spent {
    gas: u64,
    used: u64,
    logs: Vec<String>,
}

struct Failure {
    why: String,
    gas: u64,
}

impl Failure {
    fn early(why: String) -> Self {
        Self { why, gas: 0 }
    }
}

impl World {
    /// An account with so many yoctoNEAR.
    pub fn account(&mut self, id: &str, balance: u128) {
        let account = Account { balance, usage: EMPTY_ACCOUNT, ..Account::default() };
        assert!(self.accounts.insert(id.to_owned(), account).is_none(), "{id} is there already");
    }

    /// The gas that sending and running a call costs beside its VM, without what its bytes cost.
    pub fn fees_of_a_call(&self) -> u64 {
        let of = |cost| {
            let fee = self.config.fees.fee(cost);
            fee.send_fee(false).gas.as_gas() + fee.exec_fee().gas.as_gas()
        };
        of(ActionCosts::new_action_receipt) + of(ActionCosts::function_call_base)
    }

    /// Everything that there is, in yoctoNEAR.
    pub fn total(&self) -> u128 {
        let under_way = self.ready.iter().chain(&self.waiting).map(Receipt::amount);
        self.accounts.values().map(|account| account.balance).sum::<u128>() + under_way.sum::<u128>()
    }

    /// What an account has sent and what comes back to it, and has not arrived, in yoctoNEAR.
    pub fn in_transit(&self, account: &str) -> u128 {
        let of = |receipt: &&Receipt| {
            receipt.predecessor == account || (receipt.predecessor == SYSTEM && receipt.receiver == account)
        };
        self.ready.iter().chain(&self.waiting).filter(of).map(Receipt::amount).sum()
    }

    /// Receipts that run next or wait for others.
    pub fn under_way(&self) -> impl Iterator<Item = &Receipt> {
        self.ready.iter().chain(&self.waiting)
    }

    /// Begins a transaction. `step` runs it.
    pub fn begin(&mut self, signer: &str, receiver: &str, actions: Vec<Action>) {
        let mut receipt = Receipt {
            predecessor: signer.to_owned(),
            receiver: receiver.to_owned(),
            actions,
            waits_for: Vec::new(),
            tells: Vec::new(),
        };
        signer.clone_into(&mut self.signer);
        let paying = self.accounts.get_mut(signer).unwrap_or_else(|| panic!("there is no {signer}"));
        paying.balance = paying.balance.checked_sub(receipt.amount()).expect("the signer has too little");
        receipt.tells.push(self.next_data);
        self.next_data += 1;
        self.ready.push_back(receipt);
    }

    /// Lets the next receipt run after all that could run by now: on the network, those of other shards may come first.
    pub fn put_off(&mut self) {
        let next = self.ready.pop_front();
        self.ready.extend(next);
    }

    /// Runs the next receipt; None when there is none.
    pub fn step(&mut self) -> Option<Ran> {
        let receipt = self.ready.pop_front()?;
        let results: Vec<_> = receipt.waits_for.iter().filter_map(|id| self.data.remove(id)).collect();
        let mut spent = Spent::default();
        let failed = if (self.fault)(&receipt) { Err("a fault of the test".to_owned()) } else { Ok(()) };
        let applied = failed.and_then(|()| self.apply(&receipt, &results, &mut spent));
        let result = match applied {
            Ok((value, made)) => {
                self.send(&receipt, value.clone(), made);
                match value {
                    ReturnData::Value(bytes) => Ok(bytes),
                    _ => Ok(Vec::new()),
                }
            }
            Err(why) => {
                self.refund(&receipt);
                self.tell(&receipt.tells, &Err(why.clone()));
                Err(why)
            }
        };
        let Spent { gas, used, logs } = spent;
        Some(Ran { method: receipt.method().map(str::to_owned), receiver: receipt.receiver, gas, used, result, logs })
    }

    /// Runs a transaction to its end, with all that comes of it.
    pub fn transact(&mut self, signer: &str, receiver: &str, actions: Vec<Action>) -> Outcome {
        let id = self.next_data;
        self.begin(signer, receiver, actions);
        let receipts = core::iter::from_fn(|| self.step()).collect();
        assert!(self.waiting.is_empty(), "a receipt waits for ever");
        Outcome { receipts, result: self.data.remove(&id).expect("a transaction has a result") }
    }

    /// A call with JSON arguments, run to its end.
    pub fn call(
        &mut self,
        signer: &str,
        receiver: &str,
        method: &str,
        args: &serde_json::Value,
        deposit: u128,
    ) -> Outcome {
        self.transact(signer, receiver, vec![calling(method, args.to_string().into_bytes(), deposit)])
    }

    /// A view, and the gas that it burns.
    pub fn view(
        &self,
        account: &str,
        method: &str,
        args: &serde_json::Value,
    ) -> Result<(serde_json::Value, u64), String> {
        let args = args.to_string();
        let call = Call {
            account,
            predecessor: account,
            method,
            args: args.as_bytes(),
            deposit: 0,
            gas: 300 * TGAS,
            results: &[],
            view: true,
        };
        let found = &self.accounts[account];
        let mut host = Host::new(&found.storage, BTreeMap::new());
        let outcome = self.run(&call, found, &mut host).map_err(|failure| failure.why)?;
        let ReturnData::Value(bytes) = outcome.return_data else { return Err("a view without a result".to_owned()) };
        let value = serde_json::from_slice(&bytes).map_err(|why| why.to_string())?;
        Ok((value, outcome.burnt_gas.as_gas()))
    }

    fn run(&self, call: &Call, account: &Account, host: &mut Host) -> Result<VMOutcome, Failure> {
        let code = account.code.clone().ok_or_else(|| Failure::early(format!("{} has no contract", call.account)))?;
        let results = call.results.iter().map(|result| match result {
            Ok(bytes) => PromiseResult::Successful(Rc::from(bytes.as_slice())),
            Err(_) => PromiseResult::Failed,
        });
        let id = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is no account id"));
        let context = VMContext {
            current_account_id: id(call.account),
            signer_account_id: id(&self.signer_or(call.predecessor)),
            signer_account_pk: vec![0; 33],
            predecessor_account_id: id(call.predecessor),
            refund_to_account_id: id(call.predecessor),
            input: Rc::from(call.args),
            promise_results: results.collect(),
            block_height: 100_000_000,
            block_timestamp: self.now,
            epoch_height: 1_000,
            account_balance: Balance::from_yoctonear(account.balance),
            account_locked_balance: Balance::from_yoctonear(0),
            storage_usage: account.usage,
            account_contract: AccountContract::Local(*code.hash()),
            attached_deposit: Balance::from_yoctonear(call.deposit),
            prepaid_gas: Gas::from_gas(call.gas),
            random_seed: vec![7; 32],
            view_config: call.view.then(|| ViewConfig { max_gas_burnt: Gas::from_gas(300 * TGAS) }),
            output_data_receivers: Vec::new(),
        };
        let wasm = Arc::clone(&self.config.wasm_config);
        let counter = context.make_gas_counter(&wasm);
        let prepared = near_vm_runner::prepare(&Code(code), wasm, Some(&self.cache), counter, call.method);
        let outcome = near_vm_runner::run(prepared, host, &context, Arc::clone(&self.config.fees));
        if let (Some(trace), Ok(outcome)) = (&self.trace, &outcome) {
            trace.borrow_mut().push(trace::call(&context, call.method, host, outcome));
        }
        outcome.map_err(|why| Failure::early(format!("{why:?}"))).and_then(|outcome| match &outcome.aborted {
            Some(why) => Err(Failure { why: why.to_string(), gas: outcome.burnt_gas.as_gas() }),
            None => Ok(outcome),
        })
    }

    fn signer_or(&self, other: &str) -> String {
        if self.signer.is_empty() {
            other.to_owned()
        } else {
            self.signer.clone()
        }
    }

    /// Applies the actions of a receipt, all or none.
    fn apply(
        &mut self,
        receipt: &Receipt,
        results: &[Result<Vec<u8>, String>],
        spent: &mut Spent,
    ) -> Result<(ReturnData, Vec<Made>), String> {
        let before = self.accounts.get(&receipt.receiver);
        let before = before.ok_or_else(|| format!("there is no account {}", receipt.receiver))?;
        let mut after = Account {
            balance: before.balance,
            usage: before.usage,
            code: before.code.clone(),
            storage: Storage::new(),
        };
        let (mut changed, mut all_made, mut value) = (BTreeMap::new(), Vec::new(), ReturnData::None);
        for action in &receipt.actions {
            match action {
                Action::Transfer(amount) => after.balance += amount,
                Action::Deploy(code) => {
                    let length = |code: &ContractCode| u64::try_from(code.code().len()).expect("short");
                    let code = Arc::new(ContractCode::new(code.clone(), None));
                    after.usage = after.usage - after.code.as_deref().map_or(0, length) + length(&code);
                    after.code = Some(code);
                }
                Action::Call { method, args, deposit, gas: prepaid, .. } => {
                    let call = Call {
                        account: &receipt.receiver,
                        predecessor: &receipt.predecessor,
                        method,
                        args,
                        deposit: *deposit,
                        gas: *prepaid,
                        results,
                        view: false,
                    };
                    let mut host = Host::new(&before.storage, changed);
                    let outcome = self.run(&call, &after, &mut host).map_err(|failure| {
                        spent.gas += failure.gas;
                        failure.why
                    })?;
                    spent.gas += outcome.burnt_gas.as_gas();
                    spent.used += outcome.used_gas.as_gas();
                    spent.logs.extend(outcome.logs);
                    after.balance = outcome.balance.as_yoctonear();
                    after.usage = outcome.storage_usage;
                    value = outcome.return_data;
                    let mut made;
                    (changed, made) = host.end();
                    share(&mut made, prepaid - outcome.used_gas.as_gas());
                    let first = all_made.len();
                    for one in &mut made {
                        one.after.iter_mut().for_each(|index| *index += first);
                    }
                    if let ReturnData::ReceiptIndex(index) = &mut value {
                        *index += u64::try_from(first).expect("few receipts");
                    }
                    all_made.extend(made);
                }
            }
        }
        if after.balance < u128::from(after.usage) * BYTE {
            return Err(format!("{} has too little for the {} bytes that it stores", receipt.receiver, after.usage));
        }
        let account = self.accounts.get_mut(&receipt.receiver).expect("it was there");
        (account.balance, account.usage, account.code) = (after.balance, after.usage, after.code);
        for (key, value) in changed {
            match value {
                Some(value) => account.storage.insert(key, value),
                None => account.storage.remove(&key),
            };
        }
        Ok((value, all_made))
    }

    /// Sends what a receipt made, and tells its result to those that wait for it.
    fn send(&mut self, receipt: &Receipt, value: ReturnData, made: Vec<Made>) {
        let mut receipts: Vec<_> = made
            .iter()
            .map(|one| Receipt {
                predecessor: receipt.receiver.clone(),
                receiver: one.receiver.clone(),
                actions: one.actions.clone(),
                waits_for: Vec::new(),
                tells: Vec::new(),
            })
            .collect();
        for (index, one) in made.iter().enumerate() {
            for before in &one.after {
                receipts[*before].tells.push(self.next_data);
                receipts[index].waits_for.push(self.next_data);
                self.next_data += 1;
            }
        }
        if let ReturnData::ReceiptIndex(index) = value {
            receipts[usize::try_from(index).expect("few receipts")].tells.extend(&receipt.tells);
        }
        for one in receipts {
            if one.waits_for.is_empty() {
                self.ready.push_back(one);
            } else {
                self.waiting.push(one);
            }
        }
        match value {
            ReturnData::ReceiptIndex(_) => {}
            ReturnData::Value(bytes) => self.tell(&receipt.tells, &Ok(bytes)),
            ReturnData::None => self.tell(&receipt.tells, &Ok(Vec::new())),
        }
    }

    /// What a failed receipt carried goes back to who sent it, before anybody is told; what fails even then is burnt.
    fn refund(&mut self, receipt: &Receipt) {
        if receipt.amount() > 0 && receipt.predecessor != SYSTEM {
            self.ready.push_back(Receipt {
                predecessor: SYSTEM.to_owned(),
                receiver: receipt.predecessor.clone(),
                actions: vec![Action::Transfer(receipt.amount())],
                waits_for: Vec::new(),
                tells: Vec::new(),
            });
        }
    }

    fn tell(&mut self, ids: &[u64], result: &Result<Vec<u8>, String>) {
        for id in ids {
            self.data.insert(*id, result.clone());
        }
        let data = &self.data;
        let (go, stay) = self.waiting.drain(..).partition(|one| one.waits_for.iter().all(|id| data.contains_key(id)));
        self.waiting = stay;
        self.ready.extend::<Vec<_>>(go);
    }
}

/// A call that a transaction makes, with 300 Tgas.
pub fn calling(method: &str, args: Vec<u8>, deposit: u128) -> Action {
    Action::Call { method: method.to_owned(), args, deposit, gas: 300 * TGAS, weight: 0 }
}

/// Gives the gas that a call did not use to those that it made, by their weights.
fn share(made: &mut [Made], unused: u64) {
    let weights = made.iter().flat_map(|one| &one.actions).map(|action| match action {
        Action::Call { weight, .. } => *weight,
        _ => 0,
    });
    let all: u64 = weights.sum();
    for action in made.iter_mut().flat_map(|one| &mut one.actions) {
        if let Action::Call { gas, weight, .. } = action {
            *gas += unused.checked_div(all).unwrap_or(0) * *weight;
        }
    }
}
