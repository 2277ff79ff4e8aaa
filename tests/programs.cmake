# Tests that run compilers, scripts and built programs, beside the unit tests.
set(scripts ${CMAKE_CURRENT_SOURCE_DIR}/scripts)

# An include of the same or a higher level must not compile, one's own header must.
set(folders base kernels core data ops checkpoints modules families objectives generation training lab cli)
foreach(folder IN LISTS folders)
  if(TARGET gamut_${folder})
    get_target_property(level gamut_${folder} GAMUT_LEVEL)
    set(forbidden "")
    foreach(other IN LISTS folders)
      if(TARGET gamut_${other} AND NOT other STREQUAL folder)
        get_target_property(other_level gamut_${other} GAMUT_LEVEL)
        if(other_level GREATER_EQUAL level)
          list(APPEND forbidden ${other})
        endif()
      endif()
    endforeach()
    add_test(NAME levels.includes.${folder}
      COMMAND ${scripts}/includes.sh ${CMAKE_CXX_COMPILER} ${CMAKE_SOURCE_DIR} ${folder} "${forbidden}"
              "$<TARGET_PROPERTY:gamut_${folder},INCLUDE_DIRECTORIES>")
    set_tests_properties(levels.includes.${folder} PROPERTIES LABELS programs TIMEOUT 120)
  endif()
endforeach()
add_test(NAME levels.links COMMAND ${scripts}/links.sh ${CMAKE_SOURCE_DIR} ${CMAKE_CXX_COMPILER})
add_test(NAME launcher COMMAND ${scripts}/launcher.sh ${CMAKE_SOURCE_DIR})
set_tests_properties(levels.links launcher PROPERTIES LABELS programs TIMEOUT 300)

if(TARGET lab_tests)
  # The report in headless Chromium; without one (it is in cmake/packages.txt) the test is skipped.
  add_test(NAME lab.browser COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/browser/report_test.py $<TARGET_FILE:lab_tests>)
  set_tests_properties(lab.browser PROPERTIES LABELS programs TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
if(TARGET gamut)
  add_test(NAME lab.study COMMAND python3 ${scripts}/study.py $<TARGET_FILE:gamut>)
  set_tests_properties(lab.study PROPERTIES LABELS programs TIMEOUT 600)
endif()
