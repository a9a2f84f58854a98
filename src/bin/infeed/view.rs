//! `infeed view`: what the model will see, as a contact sheet.

use infeed::Element;
use infeed::view::{Options, Sheet, plain};

use crate::images::Chosen;
use crate::units::count;
use crate::{Exit, Outcome, args};

pub(crate) fn view<T: Element>(args: &args::View) -> Outcome {
    Sheet::check_file(&args.out)?;
    let Chosen { source, .. } = args.knobs.images.choose(args.dir.as_deref())?;
    let args::View { epoch, from, count: samples, repeat, columns, .. } = *args;
    let options = Options { epoch, from, count: samples, repeat, columns };
    let sheet = args.knobs.builder::<T>(source).sheet(&options)?;
    sheet.save(&args.out)?;
    let failed = sheet.tiles().iter().filter(|tile| tile.failure().is_some()).count() as u64;
    let tiles = count(sheet.tiles().len() as u64, "tile", "tiles");
    let failed = match failed {
        0 => String::new(),
        failed => format!(", {failed} of them with the cause why a file cannot be used"),
    };
    println!("{tiles}{failed}, in {}", plain(&args.out.to_string_lossy()));
    Ok(Exit::Done)
}
