//! Games that look for a server on the LAN: a broadcast that has to arrive, an answer that has to come back.
//!
//! In: a stage. Out: what the game says that it found. Never: a game that is told where the server is.

use super::{
    ground::Place,
    stage::{PATIENCE, Stage, listens},
};
use crate::{Failed, zt::until};

/// `chocolate-doom -localsearch` asks 255.255.255.255 and lists who answers.
pub fn doom(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let far = stage.pair.answers;
    let mut command = far.program("chocolate-server", &stage.dir("server")?);
    command.arg("-privateserver");
    let _server = stage.start("chocolate-server", &mut command)?;
    until(PATIENCE, "chocolate-server does not listen", || {
        listens(far.host, DOOM)
    })?;
    if stage.pair.place == Place::Bridges {
        return search(stage);
    }
    lan_mode(stage, "on")?;
    let found = search(stage);
    lan_mode(stage, "off")?;
    found.map(|found| format!("{found} (lan-mode=on)"))
}

fn search(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let home = stage.dir("client")?;
    let command = || {
        let mut command = near.program("chocolate-doom", &home);
        command.args(["-localsearch", "-iwad", IWAD]);
        command
    };
    let address = far.ip.to_string();
    stage.until_found("chocolate-doom", command, |said| {
        let line = said
            .lines()
            .find(|line| line.split_whitespace().any(|word| word == address))?;
        Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
    })
}

/// On a machine with several devices, 255.255.255.255 leaves by the one with the default route; LAN mode changes that.
fn lan_mode(stage: &Stage<'_>, switch: &str) -> Result<(), Failed> {
    let setting = format!("lan-mode={switch}");
    stage.ground.nodes[0]
        .ask(&["set", &stage.ground.network.id, &setting])
        .map(|_| ())
}

/// OpenTTD's window "Multiplayer" with its button "Search LAN", pressed as a person would.
pub fn openttd(stage: &mut Stage<'_>) -> Result<String, Failed> {
    let (near, far) = (stage.pair.asks, stage.pair.answers);
    let home = stage.dir("server")?;
    let config = stage.file("server/openttd.cfg", SERVER)?;
    let mut command = far.program("openttd", &home);
    command.args(["-D", "-x", "-d", "net=3", "-s", "null", "-m", "null", "-c"]);
    let mut server = stage.start("server", command.arg(config))?;
    Stage::until_says(&mut server, "starting game")?;
    let home = stage.dir("client")?;
    stage.file("client/openttd.cfg", CLIENT)?;
    let mut client = stage.start("client", &mut near.script(PRESS_SEARCH_LAN, &home))?;
    let answer = format!("Server response from {}:3979", far.ip);
    Stage::until_says(&mut client, &answer)?;
    // It asks the server that answered for its name and players next, over TCP.
    Stage::until_says(&mut server, &format!("Client connected from {}", near.ip))?;
    Ok(answer)
}

const DOOM: u16 = 2342;
const IWAD: &str = "/usr/share/games/doom/freedoom1.wad";
const SERVER: &str = "[network]
server_name = lab
server_game_type = local
[game_creation]
map_x = 6
map_y = 6
";
const CLIENT: &str = "[misc]
resolution = 640,480
fullscreen = false
[network]
client_name = lab
participate_survey = no
[gui]
autosave = off
";
/// OpenTTD has no option and no console command for it, so a mouse presses the buttons on a screen that nobody sees.
/// Where they are follows from the resolution; a press beside them, while a window is not there yet, does nothing.
const PRESS_SEARCH_LAN: &str = r"mkdir /tmp/.X11-unix
export DISPLAY=:0 SDL_VIDEODRIVER=x11
Xvfb :0 -screen 0 640x480x24 -nolisten tcp &
while [ ! -S /tmp/.X11-unix/X0 ]; do sleep 0.05; done
openttd -x -c $HOME/openttd.cfg -d net=3 -s null -m null -v sdl -b 32bpp-simple &
while :; do
    xdotool mousemove 398 187 click 1
    sleep 0.5
    xdotool mousemove 191 463 click 1
    sleep 1.5
done";
