import ArgumentParser
import DFSCore

/// What the process ends with: one number per kind of error, so that a script can act without reading text.
/// This table is what `dfsd --help` prints.
enum ExitStatus: Int32, CaseIterable {
  case success = 0
  case defect = 1
  case invalid = 2
  case notFound = 3
  case alreadyExists = 4
  case failedPrecondition = 5
  case corrupt = 6
  case outcomeUnknown = 7
  case unavailable = 8
  case exhausted = 9
  case permission = 10
  case unimplemented = 11
  case atRisk = 12
  case partial = 13
  case usage = 64
  case interrupted = 130

  init(_ code: DFSError.Code) {
    self =
      switch code {
      case .invalidArgument: .invalid
      case .notFound: .notFound
      case .alreadyExists: .alreadyExists
      case .failedPrecondition: .failedPrecondition
      case .permissionDenied, .unauthenticated: .permission
      case .exhausted: .exhausted
      case .stale, .unavailable, .deadlineExceeded: .unavailable
      case .cancelled: .interrupted
      case .corrupt: .corrupt
      case .outcomeUnknown: .outcomeUnknown
      case .unimplemented: .unimplemented
      case .internal: .defect
      }
  }

  var meaning: String {
    switch self {
    case .success: "done"
    case .defect: "a defect of dfsd; please report it"
    case .invalid: "the request or a setting is wrong: correct it"
    case .notFound: "no such file or directory, here or there"
    case .alreadyExists: "the name is taken"
    case .failedPrecondition: "not in the needed state: a directory, not empty, another revision"
    case .corrupt: "no good copy of some bytes; nothing was written under the final name"
    case .outcomeUnknown: "the change may or may not have been made: look before you repeat it"
    case .unavailable: "the cluster, or a part that is needed, does not answer: try again later"
    case .exhausted: "a disk, a quota or a budget is full"
    case .permission: "not allowed"
    case .unimplemented: "the other side does not know how: versions differ"
    case .atRisk: "the cluster answers, and copies are missing or a person is needed"
    case .partial: "done, but for what the messages name: links, pipes, names not in UTF-8"
    case .usage: "wrong options or arguments"
    case .interrupted: "interrupted; an upload in progress was aborted"
    }
  }

  /// Ends the process with this status and without another word: what there is to say was printed.
  var exitCode: ExitCode { ExitCode(rawValue) }

  /// The table for the help text.
  static var table: String {
    allCases.map { status in
      let number = String(status.rawValue)
      return String(repeating: " ", count: 5 - number.count) + number + "  " + status.meaning
    }.joined(separator: "\n")
  }
}
