// The build writes here what the previews show.
const PREVIEWS = {};
