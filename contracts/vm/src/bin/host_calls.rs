//! Reads calls as JSON, runs each on `near-vm-runner` with the parameters of the protocol, and prints what came of it, one object a line.

use near_parameters::RuntimeConfigStore;
use near_primitives_core::account::AccountContract;
use near_primitives_core::config::ViewConfig;
use near_primitives_core::hash::CryptoHash;
use near_primitives_core::types::{AccountId, Balance, Gas};
use near_vm_runner::logic::mocks::mock_external::MockedExternal;
use near_vm_runner::logic::types::PromiseResult;
use near_vm_runner::logic::{ReturnData, VMContext};
use near_vm_runner::{Contract, ContractCode};
use serde_json::{json, Value};
use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;

const PROTOCOL_VERSION: u32 = 86;
const MAX_VIEW_GAS: u64 = 1_000_000_000_000_000;

struct Code(Arc<ContractCode>);

impl Contract for Code {
    fn hash(&self) -> CryptoHash {
        *self.0.hash()
    }

    fn get_code(&self) -> Option<Arc<ContractCode>> {
        Some(Arc::clone(&self.0))
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hexadecimal")).expect("hexadecimal")
}

fn number(value: &Value) -> u128 {
    value.as_str().expect("a number").parse().expect("a number")
}

fn small(value: &Value) -> u64 {
    number(value).try_into().expect("64 bits")
}

fn account(value: &Value) -> AccountId {
    value.as_str().expect("an account").parse().expect("an account")
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn result(value: &Value) -> PromiseResult {
    if value.is_null() {
        PromiseResult::Failed
    } else {
        PromiseResult::Successful(Rc::from(bytes(value)))
    }
}

fn context(account_id: &Value, step: &Value, code: &ContractCode) -> VMContext {
    let view = ViewConfig { max_gas_burnt: Gas::from_gas(MAX_VIEW_GAS) };
    VMContext {
        current_account_id: account(account_id),
        signer_account_id: account(&step["signer"]),
        signer_account_pk: vec![0; 33],
        predecessor_account_id: account(&step["predecessor"]),
        refund_to_account_id: account(&step["predecessor"]),
        input: Rc::from(bytes(&step["args"])),
        promise_results: list(&step["promise_results"]).iter().map(result).collect::<Vec<_>>().into(),
        block_height: small(&step["height"]),
        block_timestamp: small(&step["timestamp"]),
        epoch_height: small(&step["epoch"]),
        account_balance: Balance::from_yoctonear(number(&step["balance"])),
        account_locked_balance: Balance::ZERO,
        storage_usage: small(&step["storage_usage"]),
        account_contract: AccountContract::Local(*code.hash()),
        attached_deposit: Balance::from_yoctonear(number(&step["deposit"])),
        prepaid_gas: Gas::from_gas(small(&step["gas"])),
        random_seed: vec![0; 32],
        view_config: step["is_view"].as_bool().expect("a truth value").then_some(view),
        output_data_receivers: list(&step["output_data_receivers"]).iter().map(account).collect(),
    }
}

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("standard input");
    let cases: Value = serde_json::from_str(&text).expect("JSON");
    let config = Arc::clone(RuntimeConfigStore::new(None).get_config(PROTOCOL_VERSION));
    for case in list(&cases) {
        let code = Arc::new(ContractCode::new(bytes(&case["code"]), None));
        let mut ext = MockedExternal::with_code(ContractCode::new(code.code().to_vec(), None));
        for step in list(&case["steps"]) {
            let before = ext.fake_trie.clone();
            let context = context(&case["account_id"], step, &code);
            let counter = context.make_gas_counter(&config.wasm_config);
            let method = step["method"].as_str().expect("a method");
            let contract = Code(Arc::clone(&code));
            let prepared = near_vm_runner::prepare(&contract, Arc::clone(&config.wasm_config), None, counter, method);
            let outcome =
                near_vm_runner::run(prepared, &mut ext, &context, Arc::clone(&config.fees)).expect("an outcome");
            if outcome.aborted.is_some() {
                ext.fake_trie = before;
            }
            let storage: BTreeMap<_, _> =
                ext.fake_trie.iter().map(|(key, value)| (hex::encode(key), hex::encode(value))).collect();
            let returned = match &outcome.return_data {
                ReturnData::Value(value) => json!(hex::encode(value)),
                ReturnData::ReceiptIndex(index) => json!(index),
                ReturnData::None => Value::Null,
            };
            let wasm = outcome.profile.get_wasm_cost().as_gas();
            println!(
                "{}",
                json!({
                    "case": case["name"],
                    "method": method,
                    "host_gas": outcome.burnt_gas.as_gas() - wasm,
                    "wasm_gas": wasm,
                    "given_gas": outcome.used_gas.as_gas() - outcome.burnt_gas.as_gas(),
                    "balance": outcome.balance.as_yoctonear().to_string(),
                    "storage_usage": outcome.storage_usage,
                    "logs": outcome.logs,
                    "returned": returned,
                    "error": outcome.aborted.as_ref().map(ToString::to_string),
                    "debug": outcome.aborted.as_ref().map(|error| format!("{error:?}")),
                    "storage": storage,
                })
            );
        }
    }
}
