/**
 * A client of Tapewatch's WebSocket service, for browsers and Node.
 *
 * It imports nothing from outside this folder.
 */

export { WdsClient } from './client'
export { NotAuthorised, type ConnectionOptions, type ConnectionState, type Socket } from './connection'
export { applyDelta, isDelta, type BoardAt, type Delta } from './delta'
export type { Value } from './feed'
export { isBoardData, isRows, isStatus, type BoardData, type FeedState, type Row, type Scalar, type Session, type SourceKind, type Status } from './rows'
export type { FeedListener, FeedOptions } from './subscription'
