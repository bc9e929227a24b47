//! Calls, as the metrics count them: how many, by method, code and traffic, how long they took, and how many there are now.

use std::sync::Arc;
use std::time::Instant;

use crest_ledger::{Conditions, Rehearsals, Traffic};
use metrics::{Counter, Gauge, Histogram};
use tonic::{Response, Status};

/// The handles, so that a call looks nothing up but where it fails.
#[derive(Clone)]
pub(crate) struct Calls(Arc<[Of; 2]>);

/// Those of one traffic.
struct Of {
    traffic: Traffic,
    in_flight: Gauge,
    methods: Vec<(&'static str, Method)>,
}

struct Method {
    answered: Counter,
    seconds: Histogram,
}

impl Calls {
    /// The handles for these methods.
    pub(crate) fn of(methods: &[&'static str]) -> Self {
        Self(Arc::new(Traffic::ALL.map(|traffic| {
            let name = traffic.name();
            let method = |method: &&'static str| Method {
                answered: counter(method, traffic, tonic::Code::Ok),
                seconds: metrics::histogram!("crest_router_request_seconds", "method" => *method, "traffic" => name),
            };
            Of {
                traffic,
                in_flight: metrics::gauge!("crest_router_requests_in_flight", "traffic" => name),
                methods: methods.iter().map(|m| (*m, method(m))).collect(),
            }
        })))
    }

    /// A call begins. `traffic` is what the request itself says.
    pub(crate) fn begin(&self, method: &'static str, traffic: Traffic) -> Call {
        self.handles(traffic).in_flight.increment(1.0);
        Call { calls: self.clone(), method, traffic, began: Instant::now() }
    }

    fn handles(&self, traffic: Traffic) -> &Of {
        let [first, second] = &*self.0;
        if first.traffic == traffic { first } else { second }
    }
}

fn counter(method: &'static str, traffic: Traffic, code: tonic::Code) -> Counter {
    let labels = [("method", method.to_owned()), ("code", format!("{code:?}")), ("traffic", traffic.name().to_owned())];
    metrics::counter!("crest_router_requests_total", &labels)
}

/// One call.
pub(crate) struct Call {
    calls: Calls,
    method: &'static str,
    traffic: Traffic,
    began: Instant,
}

impl Call {
    /// Works on it. The work says whose it turned out to be: reads by id are known by what they find.
    pub(crate) async fn end<T>(
        self,
        work: impl Future<Output = Result<(T, Traffic), Status>>,
    ) -> Result<Response<T>, Status> {
        let result = work.await;
        let traffic = result.as_ref().map_or(self.traffic, |(_, traffic)| *traffic);
        let method = self.calls.handles(traffic).methods.iter().find(|(name, _)| *name == self.method);
        let code = result.as_ref().err().map_or(tonic::Code::Ok, Status::code);
        match (method, code) {
            (Some((_, method)), tonic::Code::Ok) => method.answered.increment(1),
            _ => counter(self.method, traffic, code).increment(1),
        }
        if let Some((_, method)) = method {
            method.seconds.record(self.began.elapsed());
        }
        result.map(|(answer, _)| Response::new(answer))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.calls.handles(self.traffic).in_flight.decrement(1.0);
    }
}

/// Whose a query is before its answer is known.
pub(crate) fn asked_for(conditions: &Conditions) -> Traffic {
    match conditions.rehearsals {
        Rehearsals::Only => Traffic::Rehearsal,
        Rehearsals::Both => Traffic::of(conditions.ledger),
        Rehearsals::Without => Traffic::Live,
    }
}
