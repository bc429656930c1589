//! A call with all that it saw and all that came of it, for another virtual machine to do the same.

use near_primitives_core::account::AccountContract;
use near_vm_runner::logic::types::PromiseResult;
use near_vm_runner::logic::{ReturnData, VMContext, VMOutcome};
use serde_json::{json, Value};

use crate::host::{Action, Host, Made};

/// Bytes in hexadecimal, amounts as decimal strings.
pub fn call(context: &VMContext, method: &str, host: &Host, outcome: &VMOutcome) -> Value {
    let results = context.promise_results.iter().map(|result| match result {
        PromiseResult::Successful(bytes) => json!(hex::encode(bytes)),
        PromiseResult::Failed | PromiseResult::NotReady => Value::Null,
    });
    let aborted = outcome.aborted.as_ref().map(ToString::to_string);
    let failed = aborted.is_some();
    let changed = host.changed().iter().map(|(key, value)| (hex::encode(key), json!(value.as_ref().map(hex::encode))));
    json!({
        "account": context.current_account_id,
        "code": code(&context.account_contract),
        "signer": context.signer_account_id,
        "predecessor": context.predecessor_account_id,
        "method": method,
        "args": hex::encode(&context.input),
        "deposit": context.attached_deposit.as_yoctonear().to_string(),
        "balance": context.account_balance.as_yoctonear().to_string(),
        "usage": context.storage_usage,
        "gas": context.prepaid_gas.as_gas(),
        "timestamp": context.block_timestamp,
        "results": results.collect::<Vec<_>>(),
        "view": context.is_view(),
        "error": aborted,
        "returned": match &outcome.return_data {
            ReturnData::Value(bytes) => json!(hex::encode(bytes)),
            ReturnData::ReceiptIndex(index) => json!(index),
            ReturnData::None => Value::Null,
        },
        "logs": outcome.logs,
        "burnt": outcome.burnt_gas.as_gas(),
        "balance_after": (!failed).then(|| outcome.balance.as_yoctonear().to_string()),
        "usage_after": (!failed).then_some(outcome.storage_usage),
        "writes": if failed { json!({}) } else { Value::Object(changed.collect()) },
        "receipts": if failed { json!([]) } else { host.made().map(made).collect() },
    })
}

/// The hash of what runs.
fn code(contract: &AccountContract) -> String {
    match contract {
        AccountContract::Local(hash) => hex::encode(hash.0),
        other => panic!("{other:?} is not the code of an account's own"),
    }
}

fn made(made: &Made) -> Value {
    let action = |action: &Action| match action {
        Action::Transfer(amount) => json!({"transfer": amount.to_string()}),
        Action::Deploy(code) => json!({"deploy": hex::encode(near_primitives_core::hash::hash(code).0)}),
        Action::Call { method, args, deposit, gas, .. } => {
            json!({"call": method, "args": hex::encode(args), "deposit": deposit.to_string(), "gas": gas})
        }
    };
    json!({"receiver": made.receiver, "after": made.after, "actions": made.actions.iter().map(action).collect::<Vec<_>>()})
}
