//! Which part of an epoch this process takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::words::words;
use crate::error::Error;

/// The part that one of several processes takes of every epoch: of the samples
/// in the epoch's order, after the shuffle, those at the places `rank`,
/// `rank + world`, `rank + 2 * world` and so on. Changes results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shard {
    /// The number of this process, from 0.
    pub rank: u32,
    /// How many there are.
    pub world: u32,
}

impl Shard {
    /// All there is.
    pub const WHOLE: Shard = Shard { rank: 0, world: 1 };

    /// What the launcher of this process has set in its environment; `None` where
    /// no launcher has. The first of these that is there counts:
    ///
    /// | launcher | rank | world |
    /// | --- | --- | --- |
    /// | torchrun | `RANK` | `WORLD_SIZE` |
    /// | Open MPI | `OMPI_COMM_WORLD_RANK` | `OMPI_COMM_WORLD_SIZE` |
    /// | PMI (MPICH, Intel MPI) | `PMI_RANK` | `PMI_SIZE` |
    /// | Slurm (`srun`) | `SLURM_PROCID` | `SLURM_STEP_NUM_TASKS`, else `SLURM_NTASKS` |
    /// | Kubernetes, indexed job | `JOB_COMPLETION_INDEX` | `WORLD_SIZE`, which you set to the job's `completions` |
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when one of a pair is
    /// missing, is no number, or the rank is not below the world.
    pub fn from_env() -> Result<Option<Shard>, Error> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Shard>, Error> {
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        for (launcher, rank_name, world_names) in LAUNCHERS {
            let Some(rank) = variable(rank_name) else { continue };
            let found =
                world_names.iter().find_map(|name| variable(name).map(|size| (*name, size)));
            let Some((world_name, world)) = found else {
                let reason = format!(
                    "{launcher} has set it, but {} is not set, so the number of processes is not \
                     known; set it",
                    world_names.join(" or ")
                );
                return Err(Error::config(
                    "shard",
                    format_args!("env: {rank_name}={rank}"),
                    reason,
                ));
            };
            let number = |name: &str, value: &str| {
                value.trim().parse::<u32>().map_err(|_| {
                    let value = format_args!("env: {name}={value}").to_string();
                    Error::config("shard", value, "expected a whole number")
                })
            };
            let shard =
                Shard { rank: number(rank_name, &rank)?, world: number(world_name, &world)? };
            shard.check().map_err(|reason| {
                let value = format!("env: {rank_name}={rank}, {world_name}={world}");
                Error::config("shard", value, reason)
            })?;
            return Ok(Some(shard));
        }
        Ok(None)
    }

    /// [`from_env`](Self::from_env), for those who say that there is a launcher.
    pub(crate) fn launched() -> Result<Shard, Error> {
        Shard::from_env()?.ok_or_else(|| {
            let names = LAUNCHERS.map(|(launcher, rank, _)| format!("{rank} ({launcher})"));
            let reason = format!(
                "no launcher has set a rank: none of {} is in the environment. Start the program \
                 by one of them, or say the shard, such as 0/1",
                names.join(", ")
            );
            Error::config("shard", "env", reason)
        })
    }

    pub(crate) fn check(self) -> Result<(), String> {
        let Shard { rank, world } = self;
        match world {
            0 => Err("expected a world of at least 1 process".to_owned()),
            _ if rank >= world => Err(format!("expected a rank from 0 to {}", world - 1)),
            _ => Ok(()),
        }
    }
}

/// Who starts the processes of a run, the variable that holds the rank, and
/// those that may hold the number of processes. Launchers that are started by
/// others come first.
const LAUNCHERS: [(&str, &str, &[&str]); 5] = [
    ("torchrun", "RANK", &["WORLD_SIZE"]),
    ("Open MPI", "OMPI_COMM_WORLD_RANK", &["OMPI_COMM_WORLD_SIZE"]),
    ("PMI", "PMI_RANK", &["PMI_SIZE"]),
    ("Slurm", "SLURM_PROCID", &["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"]),
    ("Kubernetes", "JOB_COMPLETION_INDEX", &["WORLD_SIZE"]),
];

impl Default for Shard {
    fn default() -> Self {
        Shard::WHOLE
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.rank, self.world)
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// `0/4` is the first of four, `env` what the launcher has set.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "env" {
            return Shard::launched();
        }
        let numbers = text.split_once('/').and_then(|(rank, world)| {
            Some(Shard { rank: rank.trim().parse().ok()?, world: world.trim().parse().ok()? })
        });
        let shard = numbers.ok_or_else(|| {
            let reason = "expected RANK/WORLD, such as 0/4, or env for what the launcher has set";
            Error::config("shard", text, reason)
        })?;
        shard.check().map_err(|reason| Error::config("shard", text, reason))?;
        Ok(shard)
    }
}

/// What becomes of the last samples of an epoch when the ranks cannot have
/// equally many. Either way every rank has as many samples, and so batches, as
/// every other. Changes results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Uneven {
    /// They are left out: fewer than there are ranks. Only
    /// [`LastBatch::Pad`](crate::LastBatch::Pad) takes them, to fill up with.
    Drop,
    /// Samples from the epoch's beginning make up for those that are missing,
    /// and say so ([`Sample::is_padding`](crate::Sample::is_padding)).
    #[default]
    Pad,
}

words!(Uneven, "uneven" { Drop = "drop", Pad = "pad" });

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)]) -> Result<Option<Shard>, String> {
        let found = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Shard::from_variables(found).map_err(|error| error.to_string())
    }

    #[test]
    fn launchers_are_read() {
        let shard = |rank, world| Ok(Some(Shard { rank, world }));
        assert_eq!(from(&[]), Ok(None));
        assert_eq!(from(&[("RANK", "1"), ("WORLD_SIZE", "4")]), shard(1, 4));
        assert_eq!(
            from(&[("OMPI_COMM_WORLD_RANK", "2"), ("OMPI_COMM_WORLD_SIZE", "3")]),
            shard(2, 3)
        );
        assert_eq!(from(&[("PMI_RANK", "0"), ("PMI_SIZE", "2")]), shard(0, 2));
        assert_eq!(from(&[("SLURM_PROCID", "5"), ("SLURM_NTASKS", "8")]), shard(5, 8));
        // A step of fewer tasks than the job has.
        let step = [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "8"), ("SLURM_STEP_NUM_TASKS", "2")];
        assert_eq!(from(&step), shard(1, 2));
        assert_eq!(from(&[("JOB_COMPLETION_INDEX", "3"), ("WORLD_SIZE", "4")]), shard(3, 4));
        // torchrun inside a Slurm job of two nodes.
        let both =
            [("SLURM_PROCID", "1"), ("SLURM_NTASKS", "2"), ("RANK", "9"), ("WORLD_SIZE", "16")];
        assert_eq!(from(&both), shard(9, 16));
        // A size alone is no launcher.
        assert_eq!(from(&[("WORLD_SIZE", "4")]), Ok(None));
        assert_eq!(from(&[("RANK", " "), ("PMI_RANK", "0"), ("PMI_SIZE", "1")]), shard(0, 1));
    }

    #[test]
    fn half_a_launcher_is_refused() {
        let error = from(&[("JOB_COMPLETION_INDEX", "3")]).unwrap_err();
        assert!(error.contains("Kubernetes") && error.contains("WORLD_SIZE"), "{error}");
        let error = from(&[("RANK", "one"), ("WORLD_SIZE", "4")]).unwrap_err();
        assert!(error.contains("RANK=one"), "{error}");
        let error = from(&[("RANK", "4"), ("WORLD_SIZE", "4")]).unwrap_err();
        assert!(error.contains("rank from 0 to 3"), "{error}");
        let error = from(&[("RANK", "0"), ("WORLD_SIZE", "0")]).unwrap_err();
        assert!(error.contains("at least 1"), "{error}");
    }

    #[test]
    fn words_survive_the_round_trip() {
        assert_eq!("2/3".parse::<Shard>().unwrap().to_string(), "2/3");
        for wrong in ["", "1", "3/3", "0/0", "-1/2", "a/b"] {
            assert_eq!(wrong.parse::<Shard>().unwrap_err().field(), Some("shard"), "{wrong}");
        }
    }

    #[test]
    fn a_process_alone_takes_all_there_is() {
        assert_eq!(Shard::default(), Shard { rank: 0, world: 1 });
        assert_eq!(Shard { rank: 2, world: 3 }.check(), Ok(()));
        let told = |rank, world| Shard { rank, world }.check().unwrap_err();
        assert_eq!(told(3, 3), "expected a rank from 0 to 2");
        assert_eq!(told(0, 0), "expected a world of at least 1 process");
        // Nobody has started this test as a rank.
        if LAUNCHERS.iter().all(|(_, rank, _)| std::env::var_os(rank).is_none()) {
            assert_eq!(Shard::from_env().unwrap(), None);
            let error = "env".parse::<Shard>().unwrap_err();
            assert!(error.to_string().contains("RANK (torchrun)"), "{error}");
        }
    }
}
