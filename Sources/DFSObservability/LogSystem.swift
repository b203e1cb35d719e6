import Foundation
package import Logging

/// How one process logs. Call `start` once, before the first logger is made.
package enum LogSystem {
  /// The metadata key under which a call's id follows it through every process.
  package static let requestIDKey = "request_id"

  /// Sends every logger's lines to standard error, from `level` on.
  ///
  /// With no format, a terminal gets text and anything else JSON lines. `requestID` is asked at each line for
  /// the id of the call that the current task serves.
  package static func start(
    level: Logger.Level, format: LineLogHandler.Format? = nil, requestID: @escaping @Sendable () -> String?
  ) {
    let format = format ?? (isatty(STDERR_FILENO) == 1 ? .text : .json)
    LoggingSystem.bootstrap(
      { label, provider in
        LineLogHandler(
          label: label, format: format, level: level, sink: StandardErrorSink(), metadataProvider: provider)
      },
      metadataProvider: metadataProvider(requestID))
  }

  static func metadataProvider(_ requestID: @escaping @Sendable () -> String?) -> Logger.MetadataProvider {
    Logger.MetadataProvider { requestID().map { [requestIDKey: .string($0)] } ?? [:] }
  }
}
