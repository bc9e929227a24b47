//! The agents of a run, as whoever directs it sees them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use crest_proto::MESSAGE_BYTES_MAX;
use crest_proto::load;
use crest_proto::load::agent_client::AgentClient;
use crest_proto::load::run_request::Command;
use crest_proto::load::run_response::Event;
use crest_topology::SlotMap;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::messages::{check_end, cpu_seconds_from, sample_from, slots_to};
use crate::connect::connect_to;
use crate::rehearsal::books::Books;
use crate::rehearsal::driver::LaneEnd;
use crate::rehearsal::sample::Told;
use crate::rehearsal::setup::{Prepared, Wish};

/// Agents of a run, at most.
pub(crate) const AGENTS_MAX: u32 = 64;
/// How long an agent may take to be ready: it builds the plan and connects.
const READY: Duration = Duration::from_secs(60);
/// Commands that may wait.
const COMMANDS_WAITING_MAX: usize = 4;

/// All agents of a run.
pub(crate) struct Remote {
    agents: Vec<One>,
}

struct One {
    name: String,
    commands: mpsc::Sender<load::RunRequest>,
    listening: JoinHandle<anyhow::Result<Ended>>,
}

/// What an agent leaves behind.
pub(crate) struct Ended {
    /// By lane.
    pub(crate) lanes: Vec<(u32, LaneEnd)>,
    pub(crate) cpu_seconds: Option<f64>,
}

impl Remote {
    /// Prepares the agents at these addresses, all with the same scenario.
    ///
    /// # Errors
    /// When one can't be reached, or can't do it.
    pub(crate) async fn connect(
        names: &[String],
        scenario: &str,
        wish: &Wish,
        map: &SlotMap,
        course: &Arc<Prepared>,
        told: &mpsc::Sender<Told>,
    ) -> anyhow::Result<Self> {
        let mut agents = Vec::new();
        for (agent, name) in (0u32..).zip(names) {
            let prepare = load::Prepare {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                scenario: scenario.to_owned(),
                batch: wish.batch.unwrap_or(0),
                in_flight_max: wish.in_flight.unwrap_or(0),
                scale: wish.scale,
                seed: wish.seed,
                ledger: wish.ledger,
                run: course.plan.run.number(),
                routers: course.sending.routers.clone(),
                epoch: map.epoch(),
                shards: slots_to(map),
                agents: names.len() as u32,
                agent,
            };
            let one = One::prepare(name, prepare, course, told);
            let one = tokio::time::timeout(READY, one).await.map_err(|_| anyhow!("it is not ready"));
            agents.push(one.and_then(|one| one).with_context(|| format!("agent {name}"))?);
        }
        Ok(Self { agents })
    }

    async fn command(&self, command: Command) {
        for one in &self.agents {
            // One that is gone is noticed by whoever listens to it.
            let _ = one.commands.send(load::RunRequest { command: Some(command.clone()) }).await;
        }
    }

    /// Lets all begin in so much time.
    pub(crate) async fn begin(&self, after: Duration) {
        self.command(Command::Begin(load::Begin { in_ms: after.as_millis() as u32 })).await;
    }

    /// Nothing more is sent; what is under way is waited for.
    pub(crate) async fn stop(&self) {
        self.command(Command::Stop(load::Stop {})).await;
    }

    /// Waits for all; gives each one's name and what it leaves behind.
    ///
    /// # Errors
    /// When an agent was lost: what it sent is known to nobody.
    pub(crate) async fn end(self) -> anyhow::Result<Vec<(String, Ended)>> {
        let mut all = Vec::new();
        for one in self.agents {
            let ended = one.listening.await.context("listening to an agent")?;
            all.push((one.name.clone(), ended.with_context(|| format!("agent {} was lost", one.name))?));
        }
        Ok(all)
    }
}

impl One {
    async fn prepare(
        name: &str,
        prepare: load::Prepare,
        course: &Arc<Prepared>,
        told: &mpsc::Sender<Told>,
    ) -> anyhow::Result<Self> {
        let channel =
            connect_to(name, "--agent", "no agent answers there: run `crest load agent` on that machine").await?;
        let mut client = AgentClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let (commands, outbound) = mpsc::channel(COMMANDS_WAITING_MAX);
        commands.send(load::RunRequest { command: Some(Command::Prepare(prepare)) }).await?;
        let mut events = client.run(ReceiverStream::new(outbound)).await?.into_inner();
        match events.message().await?.and_then(|first| first.event) {
            Some(Event::Ready(_)) => {}
            _ => bail!("it did not say that it is ready"),
        }
        let listener =
            Listener { course: Arc::clone(course), told: told.clone(), books: Vec::new(), lanes: Vec::new() };
        Ok(Self { name: name.to_owned(), commands, listening: tokio::spawn(listener.listen(events)) })
    }
}

struct Listener {
    course: Arc<Prepared>,
    told: mpsc::Sender<Told>,
    /// Of the lane that is being received.
    books: Vec<u8>,
    lanes: Vec<(u32, LaneEnd)>,
}

impl Listener {
    async fn listen(mut self, mut events: Streaming<load::RunResponse>) -> anyhow::Result<Ended> {
        // Of a broken connection, the words are enough: its inner causes say nothing to whoever reads this.
        while let Some(message) = events.message().await.map_err(|status| anyhow!("{}", status.message()))? {
            match message.event {
                Some(Event::Samples(message)) => {
                    let samples = message.samples.into_iter().map(sample_from).collect::<anyhow::Result<_>>()?;
                    let told = Told::Samples { lane: message.lane, samples, in_flight: message.in_flight };
                    self.told.send(told).await.context("the run has ended")?;
                }
                Some(Event::Note(note)) => self.told.send(Told::Note(note)).await.context("the run has ended")?,
                Some(Event::Books(part)) => {
                    let limit = self.course.lanes.rows().saturating_mul(Books::row_bytes(&self.course.plan) as u64);
                    if (self.books.len() + part.bytes.len()) as u64 > limit {
                        bail!("its books are longer than the plan");
                    }
                    self.books.extend_from_slice(&part.bytes);
                }
                Some(Event::End(end)) => self.end(end)?,
                Some(Event::Over(over)) => {
                    return Ok(Ended { lanes: self.lanes, cpu_seconds: cpu_seconds_from(&over)? });
                }
                Some(Event::Ready(_)) | None => {}
            }
        }
        bail!("it ended before its run did")
    }

    fn end(&mut self, end: load::LaneEnd) -> anyhow::Result<()> {
        check_end(&end, self.course.lanes.count)?;
        if self.lanes.iter().any(|(lane, _)| *lane == end.lane) {
            bail!("end.lane: lane {} ended twice", end.lane);
        }
        let books = Books::received(&self.course.plan, self.course.lanes.rows(), &std::mem::take(&mut self.books));
        let own = LaneEnd {
            books,
            fingerprint: end.fingerprint,
            contradictions: end.contradictions,
            contradictions_count: end.contradictions_count,
            last_answer: Duration::from_micros(end.last_answer_us),
        };
        self.lanes.push((end.lane, own));
        Ok(())
    }
}
