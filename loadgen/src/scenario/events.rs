//! The events of a scenario.

use std::time::Duration;

use crest_ledger::limits::SHARDS_MAX;

use super::parse::TIME_MAX;
use super::reading::Table;
use super::{Action, Event};

const ACTIONS: [&str; 5] = ["load", "kill_leader", "kill_router", "pause_leader", "rebalance"];
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Slots of a cluster.
const SLOTS: u32 = crest_topology::SLOTS as u32;
const SHARD_MAX: u32 = SHARDS_MAX as u32 - 1;
/// Routers that an event can name.
const ROUTER_MAX: u32 = 1_023;

/// Reads all `[[event]]` tables; gives events and tables in order of time.
pub(super) fn read_events(tables: Vec<Table<'_>>) -> (Vec<Event>, Vec<Table<'_>>) {
    let mut read: Vec<_> = tables.into_iter().map(|table| (read(&table), table)).collect();
    read.sort_by_key(|(event, _)| event.as_ref().map(|event| event.at));
    let (events, tables): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    (events.into_iter().flatten().collect(), tables)
}

/// None when something is wrong with it.
fn read(table: &Table<'_>) -> Option<Event> {
    let at = table.duration("at", Duration::ZERO..=TIME_MAX, None);
    let parts = ACTIONS.map(|name| table.table(name));
    let there: Vec<&str> = ACTIONS.into_iter().filter(|name| table.has(name)).collect();
    let action = match there[..] {
        [one] => ACTIONS.iter().position(|&name| name == one).map(|index| read_action(index, &parts[index])),
        [] => {
            table.wrong("at", "no action", format!("one of {}", ACTIONS.join(", ")));
            None
        }
        [first, ..] => {
            let expected = "one action an event: write another [[event]] for the other";
            table.wrong(first, there.join(" and "), expected);
            None
        }
    };
    parts.into_iter().filter(|_| action.is_some()).for_each(Table::end);
    action.map(|action| Event { at, action })
}

fn read_action(index: usize, part: &Table<'_>) -> Action {
    let time = |name, default| part.duration(name, 100 * MS..=TIME_MAX, Some(default));
    match index {
        0 => Action::Load { factor: part.number("factor", 0.0..=100.0, Some(2.0)), lasts: time("lasts", 10 * SECOND) },
        1 => Action::KillLeader {
            shard: part.whole32("shard", 0..=SHARD_MAX, Some(0)),
            back_after: time("back_after", 2 * SECOND),
        },
        2 => Action::KillRouter {
            router: part.whole32("router", 0..=ROUTER_MAX, Some(0)),
            back_after: time("back_after", 2 * SECOND),
        },
        3 => Action::PauseLeader {
            shard: part.whole32("shard", 0..=SHARD_MAX, Some(0)),
            lasts: time("lasts", 3 * SECOND),
        },
        _ => Action::Rebalance {
            slots: part.whole32("slots", 1..=SLOTS, None),
            from: part.whole32("from", 0..=SHARD_MAX, None),
            to: part.whole32("to", 0..=SHARD_MAX, None),
        },
    }
}
