//! What is drawn for a picture, told without making its row.

use serde::Serialize;

use crate::augment::{Augment, Change};
use crate::config::{Color, Size};
use crate::element::Element;
use crate::transform::{Area, Form, Region, Scaler, Transform, Turn};

/// What a loader chooses for a picture at a position of an epoch
/// ([`Preprocessor::choices`](crate::Preprocessor::choices)): told by the code
/// that makes the rows, so that it is what was done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Choices {
    /// The picture's size, upright.
    pub original: Size,
    /// What of it the row shows, in its pixels.
    pub crop: Area,
    /// Left and right have changed places.
    pub mirrored: bool,
    /// Top and bottom have.
    pub upside_down: bool,
    /// Changes of colour, in the order in which they are applied; those that do
    /// something.
    pub changes: Vec<ColorChange>,
    /// Its colour is taken away.
    pub grey: bool,
    /// What of the row is set to zero, in the row's own pixels.
    pub erased: Option<Region>,
}

/// A change of colour, by torchvision's definitions ([`Jitter`](crate::Jitter)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ColorChange {
    /// The factor of each level.
    Brightness(f32),
    /// The factor of the distance to the picture's mean grey.
    Contrast(f32),
    /// The factor of the distance to the pixel's own grey.
    Saturation(f32),
    /// The shift of the hue, in parts of a full turn.
    Hue(f32),
}

impl Choices {
    pub(crate) fn of<T: Element>(
        transform: &Transform<T>,
        augment: &Augment<T>,
        scaler: Option<&Scaler>,
        turn: Turn,
        original: Size,
    ) -> Self {
        // Crops are cut from the picture as it is kept.
        let cut = match scaler {
            Some(scaler) => scaler.scaled(Form::new(original, 1)).size,
            None => original,
        };
        let part = |whole: u32, of: u32| f64::from(whole) / f64::from(of);
        let (across, down) = (part(original.width, cut.width), part(original.height, cut.height));
        let (view, places) = (transform.view(cut, turn), transform.places());
        let colourless = places.color() == Color::Grey;
        let changes = augment.changes(turn).map(|change| match change {
            Change::Brightness(blend) => ColorChange::Brightness(blend.factor()),
            Change::Contrast(blend) => ColorChange::Contrast(blend.factor()),
            Change::Saturation(blend) => ColorChange::Saturation(blend.factor()),
            Change::Hue(shift) => ColorChange::Hue(shift),
        });
        let mut choices = Choices {
            original,
            crop: view.shown(places.size()).scaled(across, down),
            mirrored: view.flip(),
            upside_down: transform.turns_upside_down(turn),
            changes: changes.collect(),
            grey: augment.takes_colour_away(turn),
            erased: augment.erased(places, turn),
        };
        if colourless {
            choices.forget_colour();
        }
        choices
    }

    /// Leaves out what changes nothing where there is no colour.
    pub(crate) fn forget_colour(&mut self) {
        self.changes
            .retain(|change| !matches!(change, ColorChange::Saturation(_) | ColorChange::Hue(_)));
        self.grey = false;
    }
}
