//! A control group for each process under measurement: it counts the processor time of the process
//! and its children, and caps it as Lambda does.
//!
//! Version 1 and 2 of control groups are supported. Where neither may be written, the subjects run
//! uncapped and are counted by `/proc`, and the output says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::Problem;

/// Lambda's period …
const PERIOD: Duration = Duration::from_millis(20);

/// … and how much of it a function with 128 MB has: a whole processor at 1,769 MB, in proportion
/// below.
pub(crate) const MEMORY_MB: u32 = 128;
const WHOLE_PROCESSOR_MB: u32 = 1769;

/// How this machine caps and counts.
#[derive(Clone, Debug)]
pub(crate) enum Means {
    /// Version 1: the folders that groups are made in, for the cap and for the count.
    V1 { cpu: PathBuf, cpuacct: PathBuf },
    /// Version 2: one folder for both, and the group that this process is in.
    V2 { parent: PathBuf, home: PathBuf },
    /// Neither, and why.
    Nothing(String),
}

impl Means {
    /// Finds out by trying.
    pub(crate) fn find() -> Self {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut tried = Vec::new();
        for means in candidates(&mounts, &own) {
            match Group::new(&means, "trial").and_then(|group| group.cap()) {
                Ok(()) => return means,
                Err(error) => tried.push(format!("{means:?}: {error}")),
            }
        }
        Self::Nothing(if tried.is_empty() { "no control groups are mounted".to_owned() } else { tried.join("; ") })
    }
}

/// What could work, by what is mounted and in which groups this process is.
fn candidates(mounts: &str, own: &str) -> Vec<Means> {
    let mut found = Vec::new();
    let own_in = |controller: &str| {
        let mut lines = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines
            .find(|(controllers, _)| controllers.split(',').any(|name| name == controller))
            .map(|(_, path)| path.trim_start_matches('/'))
    };
    let v1 = |controller: &str| {
        let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = lines.find(|fields| {
            fields.get(2) == Some(&"cgroup") && fields[3].split(',').any(|option| option == controller)
        })?;
        Some(Path::new(mount[1]).join(own_in(controller)?))
    };
    if let (Some(cpu), Some(cpuacct)) = (v1("cpu"), v1("cpuacct")) {
        found.push(Means::V1 { cpu, cpuacct });
    }
    let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    if let Some(mount) = lines.find(|fields| fields.get(2) == Some(&"cgroup2")) {
        // A group that holds processes cannot share its controllers out, but for the root: so both
        // are tried.
        let root = PathBuf::from(mount[1]);
        let home = root.join(own_in("").unwrap_or_default());
        if home != root {
            found.push(Means::V2 { parent: home.clone(), home: home.clone() });
        }
        found.push(Means::V2 { parent: root, home });
    }
    found
}

/// A process in a group. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// When it was started.
    pub(crate) at: Instant,
    /// The processor time that starting it took, which the group counts as its own.
    pub(crate) before: Duration,
    /// What the thread that started it waits for.
    _asleep: mpsc::Sender<()>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    means: Means,
    name: String,
}

impl Group {
    pub(crate) fn new(means: &Means, name: &str) -> io::Result<Self> {
        let group = Self { means: means.clone(), name: format!("enforcer-bench-{}-{name}", std::process::id()) };
        if let Means::V2 { parent, .. } = &group.means {
            let control = parent.join("cgroup.subtree_control");
            if !fs::read_to_string(&control)?.split_whitespace().any(|name| name == "cpu") {
                fs::write(control, "+cpu")?;
            }
        }
        for folder in group.folders() {
            fs::create_dir(folder)?;
        }
        group.go_first()?;
        Ok(group)
    }

    /// What the group wants to run goes before whatever else the machine has to do, so that its
    /// load disturbs the measurement little.
    fn go_first(&self) -> io::Result<()> {
        match &self.means {
            Means::V1 { cpu, .. } => fs::write(cpu.join(&self.name).join("cpu.shares"), "262144"),
            Means::V2 { parent, .. } => fs::write(parent.join(&self.name).join("cpu.weight"), "10000"),
            Means::Nothing(_) => Ok(()),
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        match &self.means {
            Means::V1 { cpu, cpuacct } if cpu == cpuacct => vec![cpu.join(&self.name)],
            Means::V1 { cpu, cpuacct } => vec![cpu.join(&self.name), cpuacct.join(&self.name)],
            Means::V2 { parent, .. } => vec![parent.join(&self.name)],
            Means::Nothing(_) => Vec::new(),
        }
    }

    /// From now on the group has as much of a processor as Lambda gives to 128 MB.
    pub(crate) fn cap(&self) -> io::Result<()> {
        let period = PERIOD.as_micros();
        let quota = period * u128::from(MEMORY_MB) / u128::from(WHOLE_PROCESSOR_MB);
        match &self.means {
            Means::V1 { cpu, .. } => {
                let folder = cpu.join(&self.name);
                fs::write(folder.join("cpu.cfs_period_us"), period.to_string())?;
                fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string())
            }
            Means::V2 { parent, .. } => fs::write(parent.join(&self.name).join("cpu.max"), format!("{quota} {period}")),
            Means::Nothing(_) => Ok(()),
        }
    }

    /// Starts `command` inside the group.
    ///
    /// A process is in the group of the thread that started it, from its first moment on. Version 1
    /// moves single threads: one enters the group, starts the process, and stays there asleep,
    /// because leaving would make the kernel hold up the process for milliseconds.
    pub(crate) fn spawn(&self, mut command: Command) -> Result<Process, Problem> {
        let (means, folders) = (self.means.clone(), self.folders());
        let (started, receiver) = mpsc::channel();
        let (asleep, awake) = mpsc::channel::<()>();
        thread::spawn(move || {
            let _ = started.send(start(&means, &folders, &mut command));
            // Until the process is dropped.
            let _ = awake.recv();
        });
        let (child, at, before) = receiver.recv()??;
        Ok(Process { child, at, before, _asleep: asleep })
    }

    /// The processor time that the group has used.
    pub(crate) fn used(&self, process: &Process) -> Result<Duration, Problem> {
        match &self.means {
            Means::V1 { cpuacct, .. } => {
                let text = fs::read_to_string(cpuacct.join(&self.name).join("cpuacct.usage"))?;
                Ok(Duration::from_nanos(text.trim().parse()?))
            }
            Means::V2 { parent, .. } => {
                let text = fs::read_to_string(parent.join(&self.name).join("cpu.stat"))?;
                let used = text
                    .lines()
                    .find_map(|line| line.strip_prefix("usage_usec "))
                    .ok_or("cpu.stat has no usage_usec")?;
                Ok(Duration::from_micros(used.parse()?))
            }
            Means::Nothing(_) => family(process.child.id()).into_iter().map(time_of).sum(),
        }
    }

    /// The most memory that the group's processes had, in MiB.
    pub(crate) fn peak_memory(&self, process: &Process) -> Result<f64, Problem> {
        let mut processes = match self.folders().first() {
            Some(folder) => {
                let text = fs::read_to_string(folder.join("cgroup.procs"))?;
                text.lines().map(str::parse).collect::<Result<Vec<u32>, _>>()?
            }
            None => family(process.child.id()),
        };
        // This one is there with the thread that started the other.
        processes.retain(|process| *process != std::process::id());
        let mut sum = 0.0;
        for process in processes {
            let status = fs::read_to_string(format!("/proc/{process}/status"))?;
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("there is no VmHWM")?;
            sum += peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0;
        }
        Ok(sum)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in self.folders() {
            // A process that was just killed may take a moment to leave.
            for _ in 0..100 {
                if fs::remove_dir(&folder).is_ok() || !folder.exists() {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Starts `command` in the group with these folders, from this thread.
fn start(means: &Means, folders: &[PathBuf], command: &mut Command) -> Result<(Child, Instant, Duration), Problem> {
    match means {
        Means::V1 { .. } => folders.iter().try_for_each(|folder| fs::write(folder.join("tasks"), own_thread()?))?,
        Means::V2 { .. } => folders.iter().try_for_each(|folder| fs::write(folder.join("cgroup.procs"), "0"))?,
        Means::Nothing(_) => {}
    }
    let before = own_time();
    let at = Instant::now();
    let child = command.spawn();
    let before = own_time().saturating_sub(before);
    if let Means::V2 { home, .. } = means {
        // It moves whole processes, so this one goes home.
        fs::write(home.join("cgroup.procs"), "0")?;
    }
    Ok((child?, at, before))
}

/// This thread's number.
fn own_thread() -> io::Result<String> {
    let link = fs::read_link("/proc/thread-self")?;
    link.file_name().and_then(|name| name.to_str()).map(str::to_owned).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The processor time of this thread.
fn own_time() -> Duration {
    schedstat(Path::new("/proc/thread-self")).unwrap_or_default()
}

fn schedstat(folder: &Path) -> Option<Duration> {
    let text = fs::read_to_string(folder.join("schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// A process and all that it started.
fn family(process: u32) -> Vec<u32> {
    let mut family = vec![process];
    let mut next = 0;
    while let Some(member) = family.get(next) {
        let children = fs::read_to_string(format!("/proc/{member}/task/{member}/children")).unwrap_or_default();
        family.extend(children.split_whitespace().filter_map(|text| text.parse::<u32>().ok()));
        next += 1;
    }
    family
}

/// The processor time of a process's threads. Those that have ended are not in it.
fn time_of(process: u32) -> Result<Duration, Problem> {
    let threads = fs::read_dir(format!("/proc/{process}/task"))?;
    Ok(threads.flatten().filter_map(|thread| schedstat(&thread.path())).sum())
}

/// The same for this process, which is AWS and Lambda to the subjects. Where it is not allowed, and
/// the machine is busy, all waits are longer.
pub(crate) fn go_first() {
    let process = std::process::id().to_string();
    let reniced =
        Command::new("renice").args(["-n", "-10", "-p", &process]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !reniced.is_ok_and(|status| status.success()) {
        eprintln!(
            "warning: the benchmark may not go before other processes: other load on this machine is in its figures"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mounts: &str, own: &str) -> Vec<String> {
        candidates(mounts, own).iter().map(|means| format!("{means:?}")).collect()
    }

    #[test]
    fn controllers_of_version_1_are_found_where_they_are_mounted_together_or_apart() {
        let apart = "cgroup /c/cpu cgroup rw,cpu 0 0\ncgroup /c/cpuacct cgroup rw,cpuacct 0 0\ncgroup /c/cpuset cgroup rw,cpuset 0 0\n";
        assert_eq!(
            found(apart, "3:cpuset:/\n2:cpuacct:/\n1:cpu:/a\n"),
            [r#"V1 { cpu: "/c/cpu/a", cpuacct: "/c/cpuacct/" }"#]
        );
        let together = "cgroup /c/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n";
        assert_eq!(
            found(together, "4:cpu,cpuacct:/b\n"),
            [r#"V1 { cpu: "/c/cpu,cpuacct/b", cpuacct: "/c/cpu,cpuacct/b" }"#]
        );
    }

    #[test]
    fn of_version_2_the_own_group_is_tried_before_the_root() {
        let own = "0::/user.slice/session\n";
        assert_eq!(
            found("cgroup2 /c cgroup2 rw 0 0\n", own),
            [
                r#"V2 { parent: "/c/user.slice/session", home: "/c/user.slice/session" }"#,
                r#"V2 { parent: "/c", home: "/c/user.slice/session" }"#
            ]
        );
        assert_eq!(found("cgroup2 /c cgroup2 rw 0 0\n", "0::/\n"), [r#"V2 { parent: "/c", home: "/c/" }"#]);
        assert_eq!(found("proc /proc proc rw 0 0\n", own), [""; 0]);
    }
}
