//! The run itself: everybody begins at the same instant, what is told is added up, and at the end everybody is waited for.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, watch};

use super::args::RunArgs;
use super::crew::{Crew, Dismissed};
use super::driver::LaneEnd;
use super::events::{self, Happenings};
use super::interrupts::Interrupts;
use super::sample::Told;
use super::setup::{Cluster, Prepared, Script};
use super::show::Show;
use super::tally::Tally;
use super::watch::Looks;
use crate::live::Live;

/// Messages of lanes that may wait.
const TOLD_WAITING_MAX: usize = 1_024;
/// From when everybody is ready to the first planned instant.
const COUNTDOWN: Duration = Duration::from_millis(500);
/// How often somebody who looks on is shown what is new.
const SHOW: Duration = Duration::from_millis(250);

/// What happened.
pub(crate) struct Played {
    pub(crate) began: SystemTime,
    pub(crate) tally: Tally,
    pub(crate) ends: Vec<LaneEnd>,
    pub(crate) last_answer: Duration,
    pub(crate) looks: Looks,
    pub(crate) happenings: Happenings,
    /// Why it did not go on to its end.
    pub(crate) stopped: Option<String>,
    /// Whether somebody who sent is lost, and his books with him: then nothing can be proven.
    pub(crate) lost: Option<String>,
    /// Each one's name and processor time.
    pub(crate) agents: Vec<(String, Option<f64>)>,
}

/// Plays the script on this cluster, until its end or until somebody wants it to stop.
///
/// # Errors
/// When somebody who sends can't begin, or is lost.
pub(crate) async fn play(
    args: &RunArgs,
    script: &Script,
    cluster: &Cluster,
    course: &Arc<Prepared>,
    interrupts: &Interrupts,
) -> anyhow::Result<Played> {
    let scenario = &script.scenario;
    let (told, mut hear) = mpsc::channel(TOLD_WAITING_MAX);
    let mut crew = Crew::connect(args, script, cluster, course, told).await?;
    let begin = Instant::now() + COUNTDOWN;
    let began = SystemTime::now() + COUNTDOWN;
    crew.begin(begin).await;
    interrupts.sending_begins();
    let (stop, stopped) = watch::channel(false);
    let looks = Looks::default();
    let looking = tokio::spawn(looks.clone().run(cluster.asking.clone(), begin, stopped.clone()));
    let happenings: Happenings = Arc::new(Mutex::new(events::planned(&scenario.events)));
    let happening = {
        let (events, local) = (scenario.events.clone(), Arc::clone(&cluster.local));
        let happenings = Arc::clone(&happenings);
        tokio::spawn(async move { events::run(&events, local, begin, happenings, stopped).await })
    };
    let mut tally = Tally::new(&scenario.phases, course.lanes.count, scenario.generator.late_after);
    let mut reason: Option<String> = None;
    let in_flight_max = scenario.requests.in_flight_max * args.agent.len().max(1) as u32;
    let mut live = Live::new();
    let mut show = Show::new(
        &mut live,
        scenario,
        &course.lanes.curve,
        args.scale,
        args.local.is_some(),
        &cluster.shards,
        looks.clone(),
        Arc::clone(&happenings),
        in_flight_max,
    );
    let mut clock = tokio::time::interval(SHOW);
    let mut asked = false;
    loop {
        tokio::select! {
            message = hear.recv() => match message {
                None => break,
                Some(Told::Note(note)) => show.live.note(&note),
                Some(Told::Samples { lane, samples, in_flight }) => {
                    samples.iter().for_each(|sample| tally.add(lane, sample));
                    tally.in_flight(lane, in_flight, begin.elapsed());
                }
            },
            _ = clock.tick() => asked |= show.update(&tally, begin) || interrupts.stop_requested(),
        }
        if asked && reason.is_none() {
            reason = Some("it was stopped by hand".to_owned());
            show.live.note("stopping: what is under way is waited for, then everything is proven");
            interrupts.sending_ends();
            crew.stop().await;
        }
    }
    interrupts.sending_ends();
    drop(show);
    live.leave();
    // What has not happened by now does not; what was killed comes back before anything is proven.
    stop.send_replace(true);
    let _ = happening.await;
    let _ = looking.await;
    let (ends, agents, lost) = match crew.end(course.lanes.count).await {
        Ok(Dismissed { ends, agents }) => (ends, agents, None),
        Err(error) => (Vec::new(), Vec::new(), Some(format!("{error:#}: nobody knows what became of what it sent"))),
    };
    let last_answer = ends.iter().map(|end| end.last_answer).max().unwrap_or_default();
    Ok(Played { began, tally, ends, last_answer, looks, happenings, stopped: reason, lost, agents })
}
