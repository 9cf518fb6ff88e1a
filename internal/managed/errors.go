// Copyright (c) The dockerparallel authors
// SPDX-License-Identifier: MPL-2.0

package managed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Class says what kind of failure an error is. The core decides on classes
// only, never on texts.
type Class string

// The classes.
const (
	// ClassUnknown: not classified; not tried again.
	ClassUnknown Class = "unknown"
	// ClassTransient: a lost connection, a timeout of one call; the call may
	// or may not have had its effect.
	ClassTransient Class = "transient"
	// ClassThrottled: refused because there were too many calls; nothing happened.
	ClassThrottled Class = "throttled"
	// ClassCapacity: refused because there is no room now; nothing happened.
	ClassCapacity Class = "capacity"
	// ClassUnavailable: the backend cannot be reached at all.
	ClassUnavailable Class = "unavailable"
	// ClassInvalid: the request can never work.
	ClassInvalid Class = "invalid"
	// ClassConflict: something else holds a name or a port that was asked for.
	ClassConflict Class = "conflict"
	// ClassPermission: the backend refuses this caller.
	ClassPermission Class = "permission"
	// ClassNotFound: what was asked for does not exist.
	ClassNotFound Class = "not found"
	// ClassCanceled: the caller gave up.
	ClassCanceled Class = "canceled"
	// ClassDeadline: the time that was given is over.
	ClassDeadline Class = "deadline"
)

// Error is a failure with a class.
type Error struct {
	Class Class
	// Attribute that the failure is about, relative to the role, as in
	// [Problem]; may be empty.
	Attribute string
	// Err says what was attempted and what went wrong.
	Err error
}

// Errorf makes an [Error] of a class; format and args are as in fmt.Errorf.
func Errorf(class Class, attribute, format string, args ...any) *Error {
	return &Error{Class: class, Attribute: attribute, Err: fmt.Errorf(format, args...)}
}

// Error is the text of the inner error; the class is for programs.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the inner error.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf tells the class of any error; "" for nil.
func ClassOf(err error) Class {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Class
	case errors.Is(err, context.DeadlineExceeded):
		return ClassDeadline
	case errors.Is(err, context.Canceled):
		return ClassCanceled
	}
	return ClassUnknown
}

// AttributeOf tells the attribute that an error is about, "" if none.
func AttributeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Attribute
	}
	return ""
}

// HandleErrors are failures by handle, as Kill returns them.
type HandleErrors map[Handle]error

// Error lists the failures in the order of their handles, at most ten.
func (e HandleErrors) Error() string {
	handles := make([]Handle, 0, len(e))
	for h := range e {
		handles = append(handles, h)
	}
	slices.Sort(handles)
	var b strings.Builder
	for i, h := range handles {
		if i == 10 {
			fmt.Fprintf(&b, "; and %d more", len(handles)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s: %v", h, e[h])
	}
	return b.String()
}

// Unwrap gives the failures, so that classes are found.
func (e HandleErrors) Unwrap() []error {
	all := make([]error, 0, len(e))
	for _, err := range e {
		all = append(all, err)
	}
	return all
}
