//! A failed sample as plain data.

use infeed::SampleError;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failed {
    pub(crate) epoch: u64,
    pub(crate) position: u64,
    pub(crate) index: u64,
    pub(crate) path: String,
    pub(crate) stage: String,
    pub(crate) cause: String,
    pub(crate) substitute: Option<String>,
}

impl From<&SampleError> for Failed {
    fn from(error: &SampleError) -> Self {
        Failed {
            epoch: error.epoch(),
            position: error.position(),
            index: error.index(),
            path: error.path().display().to_string(),
            stage: error.stage().to_string(),
            cause: error.cause().kind().to_string(),
            substitute: error.substitute().map(|path| path.display().to_string()),
        }
    }
}
